import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { Server, ServerCredentials, status } from '@grpc/grpc-js'
import type { handleServerStreamingCall } from '@grpc/grpc-js'

type Handler = handleServerStreamingCall<Buffer, Buffer>

/** How an agent can fail a workload, besides not being there. */
export const misbehaviours = {
  'denies the workload': (call) =>
    void call.emit('error', { code: status.PERMISSION_DENIED, details: 'no identity issued' }),
  'says that it is unavailable': (call) => void call.emit('error', { code: status.UNAVAILABLE, details: 'starting' }),
  'closes the stream without a message': (call) => call.end(),
  'sends a message that is rubbish': (call) => void call.write(Buffer.from('this is no protobuf message')),
  'sends a message without an SVID': (call) => void call.write(Buffer.alloc(0)),
  'never answers': () => undefined,
} satisfies Record<string, Handler>

export interface RunningAgent {
  readonly endpoint: string
  close(): Promise<void>
}

/** A gRPC server at the path of the standard Workload API that misbehaves in one way. */
export async function startMisbehavingAgent(
  path: string,
  behaviour: keyof typeof misbehaviours,
): Promise<RunningAgent> {
  const server = new Server()
  const asIs = (bytes: Buffer) => bytes
  const method = {
    path: '/SpiffeWorkloadAPI/FetchX509SVID',
    requestStream: false,
    responseStream: true,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  } as const
  server.addService({ fetchX509Svid: method }, { fetchX509Svid: misbehaviours[behaviour] as Handler })
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve()))
  })
  return {
    endpoint: `unix://${path}`,
    close: () => {
      server.forceShutdown()
      return Promise.resolve()
    },
  }
}

/** A server that speaks no HTTP/2: it answers whatever comes with the bytes given, or not at all. */
export async function startRawServer(path: string, answer?: Uint8Array): Promise<RunningAgent> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', () => {
      if (answer) socket.write(answer)
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    endpoint: `unix://${path}`,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  }
}

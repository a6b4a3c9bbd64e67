import { fromJSON } from '@grpc/proto-loader'
import type { ServiceDefinition } from '@grpc/proto-loader'

/** A method as a gRPC server takes it. Of types of our own, so that whoever uses the agent needs no other package. */
interface WireMethod {
  readonly path: string
  readonly requestStream: boolean
  readonly responseStream: boolean
  readonly requestSerialize: (message: object) => Buffer
  readonly requestDeserialize: (bytes: Buffer) => object
  readonly responseSerialize: (bytes: Buffer) => Buffer
  readonly responseDeserialize: (bytes: Buffer) => Buffer
}

/** A gRPC service whose handlers answer with bytes, so that a test can make them send any bytes at all. */
export interface WireService {
  /** For `grpc.Server.addService`: requests arrive decoded, responses leave as the handler's own bytes. */
  readonly definition: Readonly<Record<string, WireMethod>>
  /** The wire form of a response of the method. */
  readonly encode: (method: string, message: object) => Buffer
}

/** Builds a service of a schema. The schema is data inside this package; nothing is read from disk. */
export function loadWireService(schema: object, name: string): WireService {
  const loaded = fromJSON(schema, { defaults: true })[name] as ServiceDefinition
  const definition = Object.fromEntries(
    Object.entries(loaded).map(([method, { path, requestStream, responseStream, ...rest }]) => [
      method,
      {
        path,
        requestStream,
        responseStream,
        requestSerialize: rest.requestSerialize,
        requestDeserialize: rest.requestDeserialize,
        responseSerialize: (bytes: Buffer) => bytes,
        responseDeserialize: (bytes: Buffer) => bytes,
      },
    ]),
  )
  return {
    definition,
    encode: (method, message) => {
      const known = loaded[method]
      if (!known) throw new TypeError(`${name} has no method ${method}`)
      return known.responseSerialize(message)
    },
  }
}

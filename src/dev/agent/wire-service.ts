import type { ServiceDefinition as GrpcServiceDefinition } from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import type { ServiceDefinition } from '@grpc/proto-loader'

/** A gRPC service whose handlers answer with bytes, so that a test can make them send any bytes at all. */
export interface WireService {
  /** For `grpc.Server.addService`: requests arrive decoded, responses leave as the handler's own bytes. */
  readonly definition: GrpcServiceDefinition
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

import { status } from '@grpc/grpc-js'
import type { ServerDuplexStream, UntypedServiceImplementation } from '@grpc/grpc-js'
import { protoFiles } from './generated/proto-files.js'
import type { ProtoFile } from './generated/proto-files.js'
import { reflectionAlphaSchema, reflectionSchema } from './generated/schemas.js'
import { loadWireService } from './wire-service.js'
import type { WireService } from './wire-service.js'

/** Exactly one of these is set. */
interface ReflectionRequest {
  host: string
  listServices?: string
  fileByFilename?: string
  fileContainingSymbol?: string
}

const own = ['grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'] as const
const schemas = [reflectionSchema, reflectionAlphaSchema]
let loaded: readonly WireService[] | undefined

/**
 * Tells whoever asks what a socket serves, without the security header: a service of its own, by both of its names.
 * @param served - Full names of the services.
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md#7-extensibility-and-services-rendered
 */
export function reflectionServices(
  served: readonly string[],
): { definition: WireService['definition']; handlers: UntypedServiceImplementation }[] {
  loaded ??= schemas.map((schema, index) => loadWireService(schema, own[index] ?? ''))
  const services = [...served, ...own]
  return loaded.map(({ definition, encode }) => ({
    definition,
    handlers: {
      ServerReflectionInfo(call: ServerDuplexStream<ReflectionRequest, Buffer>) {
        call.on('data', (request: ReflectionRequest) => {
          const response = { validHost: request.host, originalRequest: request, ...answer(request, services) }
          call.write(encode('ServerReflectionInfo', response))
        })
        call.on('end', () => call.end())
      },
    },
  }))
}

function answer(request: ReflectionRequest, services: readonly string[]): object {
  const { listServices, fileByFilename, fileContainingSymbol } = request
  if (listServices !== undefined) return { listServicesResponse: { service: services.map((name) => ({ name })) } }
  const file = protoFiles.find(({ name, symbols }) => {
    if (fileByFilename !== undefined) return name === fileByFilename
    return fileContainingSymbol !== undefined && symbols.includes(fileContainingSymbol)
  })
  // Nothing here has an extension.
  if (!file) return { errorResponse: { errorCode: status.NOT_FOUND, errorMessage: 'no such file or symbol' } }
  return { fileDescriptorResponse: { fileDescriptorProto: withImports(file) } }
}

function withImports(file: ProtoFile): Buffer[] {
  const imports = protoFiles.filter(({ name }) => file.dependencies.includes(name))
  return [Buffer.from(file.descriptor, 'base64'), ...imports.flatMap(withImports)]
}

// Writes the schemas of proto/ as JSON inside a module, so that the dev agent loads them without reading a file, and the
// descriptors that it hands out by reflection.
import { mkdirSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import protobuf from 'protobufjs'
import { describeFile } from './proto-descriptors.mjs'

const target = 'src/dev/agent/generated'
const header = '// Made from proto/ by scripts/generate-dev-schema.mjs. Do not edit.'
const struct = 'google/protobuf/struct.proto'

function load(file, options) {
  const root = new protobuf.Root()
  // The well-known types come with protobufjs; everything else lies in proto/.
  root.resolvePath = (_origin, name) => (protobuf.common.get(name) ? name : resolve('proto', name))
  root.loadSync(file, options)
  return root.resolveAll()
}

/** Reflection by the name that it had before it was stable. */
function loadAlpha(options) {
  const v1alpha = load('grpc_reflection.proto', options).lookup('grpc.reflection.v1').toJSON()
  const nested = { grpc: { nested: { reflection: { nested: { v1alpha } } } } }
  return protobuf.Root.fromJSON({ nested }).resolveAll()
}

function write(file, text) {
  writeFileSync(`${target}/${file}`, `${header}\n${text}`)
}

const schema = (name, root) => `\nexport const ${name}: object = ${JSON.stringify(root.toJSON(), null, 2)}\n`

mkdirSync(target, { recursive: true })
write(
  'schemas.ts',
  schema('standardSchema', load('workload.proto')) +
    schema('icpSchema', load('icp_workload.proto')) +
    schema('reflectionSchema', load('grpc_reflection.proto')) +
    schema('reflectionAlphaSchema', loadAlpha()),
)

const asWritten = { keepCase: true }
const standard = load('workload.proto', asWritten)
const files = [
  describeFile(standard, { name: struct, packageName: 'google.protobuf' }),
  describeFile(standard, { name: 'workload.proto', packageName: '', dependencies: [struct] }),
  describeFile(load('icp_workload.proto', asWritten), { name: 'icp_workload.proto', packageName: 'spiffe.workload' }),
  describeFile(load('grpc_reflection.proto', asWritten), {
    name: 'grpc/reflection/v1/reflection.proto',
    packageName: 'grpc.reflection.v1',
  }),
  describeFile(loadAlpha(asWritten), {
    name: 'grpc/reflection/v1alpha/reflection.proto',
    packageName: 'grpc.reflection.v1alpha',
  }),
]
write(
  'proto-files.ts',
  `
/** A proto file as reflection hands it out. */
export interface ProtoFile {
  readonly name: string
  /** Names of the files that it imports. */
  readonly dependencies: readonly string[]
  /** Full names of what it declares. */
  readonly symbols: readonly string[]
  /** A FileDescriptorProto, base64. */
  readonly descriptor: string
}

export const protoFiles: readonly ProtoFile[] = ${JSON.stringify(files, null, 2)}
`,
)

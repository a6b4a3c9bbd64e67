// Writes the schemas of proto/ as JSON inside a module, so that the dev agent loads them without reading a file.
import { mkdirSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import protobuf from 'protobufjs'

const target = 'src/dev/agent/generated'

function schemaOf(file) {
  const root = new protobuf.Root()
  // The well-known types come with protobufjs; everything else lies in proto/.
  root.resolvePath = (_origin, name) => (protobuf.common.get(name) ? name : resolve('proto', name))
  root.loadSync(file)
  root.resolveAll()
  return JSON.stringify(root.toJSON(), null, 2)
}

mkdirSync(target, { recursive: true })
writeFileSync(
  `${target}/schemas.ts`,
  `// Made from proto/ by scripts/generate-dev-schema.mjs. Do not edit.

export const standardSchema: object = ${schemaOf('workload.proto')}

export const icpSchema: object = ${schemaOf('icp_workload.proto')}
`,
)

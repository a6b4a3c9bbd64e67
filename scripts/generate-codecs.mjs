// Writes the Workload API's codecs, src/workload-api/wire/generated/*.ts, from proto/*.proto.
//
// Plain functions over the strict reader and writer of src/workload-api/wire: no schema is parsed when a program starts,
// and every limit is in one place. Knows what our protos use (messages, maps, one-ofs, strings, bytes, bool, int32,
// double, enums) and stops at anything else.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const out = join(root, 'src/workload-api/wire/generated')
const scalars = { string: 'string', bytes: 'Uint8Array', bool: 'boolean', int32: 'number', double: 'number' }
const defaults = { string: "''", bytes: 'new Uint8Array(0)', bool: 'false', int32: '0', double: '0' }

/** The scalar that carries a field's value on the wire, or undefined for an embedded message. */
function scalarOf(type, resolved) {
  if (resolved instanceof protobuf.Enum) return 'int32'
  if (resolved instanceof protobuf.Type) return undefined
  if (!(type in scalars)) throw new Error(`the generator does not know the field type ${type}`)
  return type
}

function fieldOf(field) {
  field.resolve()
  const scalar = scalarOf(field.type, field.resolvedType)
  if (field.repeated && ['bool', 'int32', 'double'].includes(scalar)) throw new Error('packed fields are not supported')
  const type = scalar ? scalars[scalar] : field.resolvedType.name
  if (field instanceof protobuf.MapField && field.keyType !== 'string') throw new Error(`map key ${field.keyType}`)
  return {
    name: field.name,
    id: field.id,
    scalar,
    type,
    kind: field instanceof protobuf.MapField ? 'map' : field.repeated ? 'list' : 'one',
    oneof: field.partOf?.oneof,
  }
}

const readValue = ({ scalar, type }, reader = 'reader') =>
  scalar ? `${reader}.${scalar}()` : `${reader}.message(read${type})`

const writeValue = ({ scalar, type }, id, value, writer = 'writer') =>
  scalar ? `${writer}.${scalar}(${id}, ${value})` : `${writer}.message(${id}, ${value}, write${type})`

function typeOf(field) {
  if (field.kind === 'map') return `Map<string, ${field.type}>`
  if (field.kind === 'list') return `${field.type}[]`
  return field.scalar && !field.oneof ? field.type : `${field.type} | undefined`
}

function initialOf(field) {
  if (field.kind === 'map') return 'new Map()'
  if (field.kind === 'list') return '[]'
  return field.scalar && !field.oneof ? defaults[field.scalar] : 'undefined'
}

function readLines(field) {
  const target = `message.${field.name}`
  if (field.kind === 'list') return [`${target}.push(${readValue(field)})`]
  if (field.kind === 'map') {
    const initial = field.scalar ? defaults[field.scalar] : `read${field.type}(new Reader(new Uint8Array(0)))`
    return [
      'reader.message((entry) => {',
      "  let key = ''",
      `  let value: ${field.type} = ${initial}`,
      '  while (entry.next()) {',
      '    if (entry.field === 1) key = entry.string()',
      `    else if (entry.field === 2) value = ${readValue(field, 'entry')}`,
      '    else entry.skip()',
      '  }',
      `  ${target}.set(key, value)`,
      '})',
    ]
  }
  // The last member of a one-of wins.
  const others = (field.oneof ?? []).filter((name) => name !== field.name)
  return [...others.map((name) => `message.${name} = undefined`), `${target} = ${readValue(field)}`]
}

function writeLines(field) {
  const value = `message.${field.name}`
  if (field.kind === 'list') return [`for (const item of ${value}) ${writeValue(field, field.id, 'item')}`]
  if (field.kind === 'map') {
    return [
      `for (const entry of ${value}) {`,
      `  writer.message(${field.id}, entry, (inner, [key, value]) => {`,
      '    inner.string(1, key)',
      `    ${writeValue(field, 2, 'value', 'inner')}`,
      '  })',
      '}',
    ]
  }
  if (field.oneof || !field.scalar) return [`if (${value} !== undefined) ${writeValue(field, field.id, value)}`]
  const present =
    field.scalar === 'bool'
      ? value
      : field.scalar === 'bytes'
        ? `${value}.length > 0`
        : `${value} !== ${defaults[field.scalar]}`
  return [`if (${present}) ${writeValue(field, field.id, value)}`]
}

const indent = (lines, depth) => lines.map((line) => ' '.repeat(depth) + line)

function messageSource(type) {
  const { name } = type
  const fields = type.fieldsArray.map(fieldOf).sort((a, b) => a.id - b.id)
  return [
    `export interface ${name} {`,
    ...fields.map((field) => `  ${field.name}: ${typeOf(field)}`),
    '}',
    '',
    `export function read${name}(reader: Reader): ${name} {`,
    `  const message: ${name} = {`,
    ...fields.map((field) => `    ${field.name}: ${initialOf(field)},`),
    '  }',
    '  while (reader.next()) {',
    '    switch (reader.field) {',
    ...fields.flatMap((field) => [`      case ${field.id}:`, ...indent([...readLines(field), 'break'], 8)]),
    '      default:',
    '        reader.skip()',
    '    }',
    '  }',
    '  return message',
    '}',
    '',
    `export function write${name}(${fields.length > 0 ? 'writer' : '_writer'}: Writer, ${fields.length > 0 ? 'message' : '_message'}: ${name}): void {`,
    ...fields.flatMap((field) => indent(writeLines(field), 2)),
    '}',
    '',
  ]
}

function messagesUnder(namespace) {
  return namespace.nestedArray.flatMap((node) => {
    if (node instanceof protobuf.Type) return [node]
    return node instanceof protobuf.Namespace && !(node instanceof protobuf.Service) ? messagesUnder(node) : []
  })
}

function serviceSource(service) {
  const path = service.fullName.slice(1)
  return [
    '/** Paths of the methods on the wire. */',
    'export const paths = {',
    ...service.methodsArray.map(({ name }) => `  ${name[0].toLowerCase() + name.slice(1)}: '/${path}/${name}',`),
    '} as const',
    '',
  ]
}

function generate(proto, target) {
  const schema = new protobuf.Root()
  // Well-known imports come out of protobufjs itself; nothing is fetched.
  schema.resolvePath = (_origin, name) => (protobuf.common.get(name) ? name : join(root, 'proto', name))
  schema.loadSync(proto)
  const service = servicesUnder(schema)[0]
  const source = [
    `// Generated by scripts/generate-codecs.mjs from proto/${proto}. Changes here are lost.`,
    "import { Reader } from '../reader.js'",
    "import type { Writer } from '../writer.js'",
    '',
    ...serviceSource(service),
    ...messagesUnder(schema).flatMap(messageSource),
  ].join('\n')
  // An unchanged file keeps its time, so that whoever watches it is not woken.
  const file = join(out, target)
  let old
  try {
    old = readFileSync(file, 'utf8')
  } catch {
    old = undefined
  }
  if (old !== source) writeFileSync(file, source)
}

function servicesUnder(namespace) {
  return namespace.nestedArray.flatMap((node) => {
    if (node instanceof protobuf.Service) return [node]
    return node instanceof protobuf.Namespace && !(node instanceof protobuf.Type) ? servicesUnder(node) : []
  })
}

mkdirSync(out, { recursive: true })
generate('workload.proto', 'workload.ts')
generate('icp_workload.proto', 'icp-workload.ts')

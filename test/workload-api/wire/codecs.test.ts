import { join } from 'node:path'
import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader'
import protobuf from 'protobufjs'
import { describe, expect, test } from 'vitest'
import { Reader } from '../../../src/workload-api/wire/reader.js'
import { Writer } from '../../../src/workload-api/wire/writer.js'
import * as icp from '../../../src/workload-api/wire/generated/icp-workload.js'
import * as standard from '../../../src/workload-api/wire/generated/workload.js'

// The independent reader: the definitions that @grpc/proto-loader makes of the same proto files.

const protoDir = join(import.meta.dirname, '../../../proto')
const seed = 20_260_701

/** Small and repeatable (mulberry32): the same messages in every run. */
function randomNumbers(from: number): () => number {
  let state = from
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

class Invention {
  readonly random: () => number
  constructor(random: () => number) {
    this.random = random
  }
  below(limit: number): number {
    return Math.floor(this.random() * limit)
  }
  string(): string {
    const letters = ['a', 'Z', '0', '/', 'ü', '日', '\u{1f600}', '\0', ' ']
    return Array.from({ length: this.below(12) }, () => letters[this.below(letters.length)]).join('')
  }
  bytes(): Buffer {
    return Buffer.from(Array.from({ length: this.below(40) }, () => this.below(256)))
  }
  value(field: protobuf.Field, depth: number): unknown {
    field.resolve()
    if (field.resolvedType instanceof protobuf.Enum) return 0
    if (field.resolvedType) return this.message(field.resolvedType, depth + 1)
    switch (field.type) {
      case 'string':
        return this.string()
      case 'bytes':
        return this.bytes()
      case 'bool':
        return this.random() < 0.5
      case 'double':
        return (this.random() - 0.5) * 2 ** this.below(60)
      default:
        throw new Error(`no value for ${field.type}`)
    }
  }
  message(type: protobuf.Type, depth = 0): Record<string, unknown> {
    const message: Record<string, unknown> = {}
    const chosen = new Map(type.oneofsArray.map(({ oneof, name }) => [name, oneof[this.below(oneof.length)]]))
    for (const field of type.fieldsArray) {
      if (field.partOf && chosen.get(field.partOf.name) !== field.name) continue
      if (depth > 4 && (field.map || field.repeated || field.type.endsWith('Value') || field.type.endsWith('Struct')))
        continue
      const count = this.below(4)
      if (field.map) {
        message[field.name] = Object.fromEntries(
          Array.from({ length: count }, () => [this.string(), this.value(field, depth)]),
        )
      } else if (field.repeated) message[field.name] = Array.from({ length: count }, () => this.value(field, depth))
      else if (field.partOf || this.random() < 0.8) message[field.name] = this.value(field, depth)
    }
    return message
  }
}

/** Ours in the shape of the loader's: maps as objects, bytes as Buffers, absent members absent. */
function comparable(value: unknown): unknown {
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([key, item]) => [key as string, comparable(item)]))
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(comparable)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined && item !== null)
      .map(([key, item]) => [key, comparable(item)]),
  )
}

const dialects = [
  { name: 'workload.proto', prefix: '', codecs: standard as Record<string, unknown>, services: 7 },
  { name: 'icp_workload.proto', prefix: 'spiffe.workload.', codecs: icp as Record<string, unknown>, services: 5 },
]

for (const { name, prefix, codecs, services } of dialects) {
  const definitions = loadSync(join(protoDir, name), {
    defaults: true,
    arrays: true,
    objects: true,
    bytes: Buffer,
    enums: Number,
  })
  const schema = protobuf.loadSync(join(protoDir, name))
  const types = Object.entries(definitions).flatMap(([key, definition]) =>
    'serialize' in definition && key.startsWith(prefix) && !key.startsWith('google.') ? [key] : [],
  )

  describe(name, () => {
    test('is covered whole', () => {
      expect(types.length).toBe(prefix ? 12 : 17)
    })

    test('has the paths that the loader makes of it', () => {
      const service = definitions[`${prefix}SpiffeWorkloadAPI`] as Record<string, { path: string }>
      const paths = Object.values(codecs['paths'] as Record<string, string>)
      expect(paths).toEqual(Object.values(service).map(({ path }) => path))
      expect(paths).toHaveLength(services)
    })

    for (const key of types) {
      const type = key.slice(prefix.length)
      const definition = definitions[key] as MessageTypeDefinition<object, object>
      const read = codecs[`read${type}`] as (reader: Reader) => object
      const write = codecs[`write${type}`] as (writer: Writer, message: object) => void

      test(`${type} reads and writes what @grpc/proto-loader reads and writes`, () => {
        const invention = new Invention(randomNumbers(seed))
        for (let round = 0; round < 200; round++) {
          const bytes = definition.serialize(invention.message(schema.lookupType(key)))
          const ours = read(new Reader(bytes))
          expect(comparable(ours)).toEqual(comparable(definition.deserialize(bytes)))
          const writer = new Writer()
          write(writer, ours)
          expect(comparable(definition.deserialize(Buffer.from(writer.finish())))).toEqual(
            comparable(definition.deserialize(bytes)),
          )
        }
      })
    }
  })
}

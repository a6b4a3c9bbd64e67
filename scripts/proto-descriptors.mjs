// The descriptor of a proto file, as gRPC reflection hands it out: what protoc would write, without options.
import { createRequire } from 'node:module'
import protobuf from 'protobufjs'

const schema = protobuf.Root.fromJSON(createRequire(import.meta.url)('protobufjs/google/protobuf/descriptor.json'))
const FileDescriptorProto = schema.lookupType('google.protobuf.FileDescriptorProto')

/** The numbers of descriptor.proto. Ours use no others. */
const scalars = { double: 1, int32: 5, bool: 8, string: 9, bytes: 12 }
const messageType = 11
const enumType = 14
const [optional, repeated] = [1, 3]

const camelCase = (name) => name.replace(/_([a-z0-9])/g, (_match, letter) => letter.toUpperCase())
const snakeCase = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const entryName = (name) => `${camelCase(`_${name}`)}Entry`

function typeOf(type, resolved) {
  if (resolved) return { type: resolved instanceof protobuf.Enum ? enumType : messageType, typeName: resolved.fullName }
  if (!(type in scalars)) throw new Error(`descriptors of fields of the type ${type} are not known`)
  return { type: scalars[type] }
}

function fieldOf(field, oneofs) {
  field.resolve()
  // The well-known types come in camel case.
  const name = snakeCase(field.name)
  const common = { name, number: field.id, jsonName: camelCase(name) }
  if (field instanceof protobuf.MapField) {
    const typeName = `${field.parent.fullName}.${entryName(name)}`
    return { ...common, label: repeated, type: messageType, typeName }
  }
  const type = typeOf(field.type, field.resolvedType)
  const oneofIndex = field.partOf && { oneofIndex: oneofs.indexOf(field.partOf) }
  return { ...common, label: field.repeated ? repeated : optional, ...type, ...oneofIndex }
}

/** A map is a list of messages with a key and a value. */
function entryOf(field) {
  const value = typeOf(field.type, field.resolvedType)
  return {
    name: entryName(snakeCase(field.name)),
    field: [
      { name: 'key', number: 1, label: optional, type: scalars[field.keyType], jsonName: 'key' },
      { name: 'value', number: 2, label: optional, ...value, jsonName: 'value' },
    ],
    options: { mapEntry: true },
  }
}

function messageOf(type) {
  const oneofs = type.oneofsArray
  return {
    name: type.name,
    field: type.fieldsArray.map((field) => fieldOf(field, oneofs)),
    nestedType: type.fieldsArray.filter((field) => field instanceof protobuf.MapField).map(entryOf),
    oneofDecl: oneofs.map(({ name }) => ({ name: snakeCase(name) })),
  }
}

function enumOf({ name, values }) {
  return { name, value: Object.entries(values).map(([value, number]) => ({ name: value, number })) }
}

function serviceOf(service) {
  const method = service.methodsArray.map((each) => {
    const { name, requestStream = false, responseStream = false } = each.resolve()
    const [inputType, outputType] = [each.resolvedRequestType.fullName, each.resolvedResponseType.fullName]
    return { name, inputType, outputType, clientStreaming: requestStream, serverStreaming: responseStream }
  })
  return { name: service.name, method }
}

/**
 * @param {import('protobufjs').Root} root - Resolved; the file declares all of one of its packages.
 * @returns The symbols that reflection finds the file by, and the bytes of a FileDescriptorProto.
 */
export function describeFile(root, { name, packageName, dependencies = [] }) {
  const declared = packageName === '' ? root : root.lookup(packageName)
  const of = (kind) => declared.nestedArray.filter((nested) => nested instanceof kind)
  const [messages, enums, services] = [of(protobuf.Type), of(protobuf.Enum), of(protobuf.Service)]
  const file = {
    name,
    package: packageName,
    dependency: dependencies,
    messageType: messages.map(messageOf),
    enumType: enums.map(enumOf),
    service: services.map(serviceOf),
    syntax: 'proto3',
  }
  const methods = services.flatMap(({ methodsArray }) => methodsArray)
  const symbols = [...messages, ...enums, ...services, ...methods].map(({ fullName }) => fullName.slice(1))
  const bytes = FileDescriptorProto.encode(FileDescriptorProto.fromObject(file)).finish()
  return { name, dependencies, symbols, descriptor: Buffer.from(bytes).toString('base64') }
}

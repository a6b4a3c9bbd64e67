import { fileURLToPath } from 'node:url'
import { loadPackageDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const definition = loadSync(fileURLToPath(new URL('greeter.proto', import.meta.url)))
/** @type {any} */
const root = loadPackageDefinition(definition)
export const { Greeter } = root.example

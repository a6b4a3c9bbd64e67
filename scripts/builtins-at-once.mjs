// A tsup plugin: takes Node's built-in modules with process.getBuiltinModule() instead of an import. For an import Node
// makes a view of the module for ES modules, and reads every property for it, also those that load something when they
// are read: `crypto`, `net`, `tls` and `util` cost each start 2 ms for what nobody here uses (test/bench/start).
import { builtinModules } from 'node:module'

const names = [...builtinModules, ...builtinModules.map((name) => `node:${name}`)].join('|')
const imports = new RegExp(String.raw`\bimport ?(?:(\{[^}]*\})|\* ?as (\w+)) ?from ?"(${names})";\n?`, 'g')

export function builtinsAtOnce() {
  return {
    name: 'builtins-at-once',
    renderChunk(code) {
      const taken = []
      const rest = code.replace(imports, (_statement, members, namespace, module) => {
        taken.push(`const ${members?.replace(/ as /g, ':') ?? namespace}=process.getBuiltinModule("${module}");`)
        return ''
      })
      // First of all, as imports are.
      return taken.length === 0 ? undefined : { code: `${taken.join('')}\n${rest}` }
    },
  }
}

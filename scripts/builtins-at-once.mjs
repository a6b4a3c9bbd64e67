// A tsup plugin: takes Node's built-in modules with process.getBuiltinModule() instead of an import. For an import Node
// makes a view of the module for ES modules, and reads every property for it, also those that load something when they
// are read: `crypto`, `net`, `tls` and `util` cost each start 2 ms for what nobody here uses (test/bench/start). The same
// for the require() of a bundled CommonJS package, which an ES module does not have.
import { builtinModules } from 'node:module'

const names = [...builtinModules, ...builtinModules.map((name) => `node:${name}`)].join('|')
const imports = new RegExp(String.raw`\bimport ?(?:(\{[^}]*\})|\* ?as (\w+)) ?from ?"(${names})";\n?`, 'g')
const requires = new RegExp(String.raw`\b__require\d*\("(${names})"\)`, 'g')

export function builtinsAtOnce() {
  return {
    name: 'builtins-at-once',
    renderChunk(code) {
      const taken = []
      const required = code.replace(requires, 'process.getBuiltinModule("$1")')
      const rest = required.replace(imports, (_statement, members, namespace, module) => {
        taken.push(`const ${members?.replace(/ as /g, ':') ?? namespace}=process.getBuiltinModule("${module}");`)
        return ''
      })
      // First of all, as imports are.
      return rest === code ? undefined : { code: `${taken.join('')}\n${rest}` }
    },
  }
}

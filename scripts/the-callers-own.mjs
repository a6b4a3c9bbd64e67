// An esbuild plugin: a package that is bundled elsewhere stays an import of the files below one directory, because what
// they are given was made by the caller's copy of it.
import { resolve, sep } from 'node:path'

export function theCallersOwn(name, directory) {
  const root = resolve(directory) + sep
  return {
    name: 'the-callers-own',
    setup(build) {
      build.onResolve({ filter: /^@?[a-z]/ }, ({ path, importer }) =>
        path === name && importer.startsWith(root) ? { path, external: true } : undefined,
      )
    },
  }
}

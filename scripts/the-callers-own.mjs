// An esbuild plugin: a package that is bundled elsewhere stays an import of the files below one directory, because what
// they are given was made by the caller's copy of it.
import { resolve } from 'node:path'

export function theCallersOwn(name, directory) {
  const root = resolve(directory)
  return {
    name: 'the-callers-own',
    setup(build) {
      build.onResolve({ filter: /^@?[a-z]/ }, ({ path, importer }) =>
        path === name && importer.startsWith(root) ? { path, external: true } : undefined,
      )
    },
  }
}

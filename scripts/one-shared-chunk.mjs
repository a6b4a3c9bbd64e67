// An esbuild plugin: what several entries share becomes one chunk. esbuild by itself makes one for every combination of
// entries that share something, and every file costs a start more than a millisecond (test/bench/start).
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'

/**
 * @param {readonly string[]} entries - Files of the build's entries.
 * @param {readonly string[]} shared - Modules that every one of them is to reach, whether it uses them or not. What nobody
 *   uses is left out of the build as ever.
 */
export function oneSharedChunk(entries, shared) {
  const files = new Set(entries.map((file) => resolve(file)))
  const specifiers = shared.map((module) => (module.startsWith('src/') ? resolve(module) : module))
  const imports = specifiers.map((specifier) => `import ${JSON.stringify(specifier)}\n`).join('')
  return {
    name: 'one-shared-chunk',
    setup(build) {
      // These imports are for the division into chunks only; that they do nothing is no news.
      build.initialOptions.logOverride = { ...build.initialOptions.logOverride, 'ignored-bare-import': 'silent' }
      build.onLoad({ filter: /\.ts$/ }, async ({ path }) =>
        files.has(path) ? { contents: imports + (await readFile(path, 'utf8')), loader: 'ts' } : undefined,
      )
    },
  }
}

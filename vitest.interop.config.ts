import { defineConfig } from 'vitest/config'
import { reports } from './test/reports.js'

/** What needs more than this package: real SPIRE, other Node.js versions. One file at a time, with patience. */
export default defineConfig({
  test: {
    include: ['test/interop/**/*.test.ts', 'test/versions/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 900_000,
    ...reports('interop'),
  },
})

import { defineConfig } from 'vitest/config'
import { reports } from './test/reports.js'

/** What needs more than this package: real SPIRE, other Node.js versions. Most of it waits; two files at a time. */
export default defineConfig({
  test: {
    include: ['test/interop/**/*.test.ts', 'test/versions/**/*.test.ts'],
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 900_000,
    ...reports('interop'),
  },
})

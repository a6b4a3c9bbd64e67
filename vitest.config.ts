import { defineConfig } from 'vitest/config'
import { reports } from './test/reports.js'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/interop/**', 'test/versions/**', 'test/bench/**'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    ...reports('check'),
  },
})

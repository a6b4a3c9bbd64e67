import { defineConfig } from 'vitest/config'
import { reports } from './test/reports.js'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/interop/**', 'test/versions/**', 'test/bench/**'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Most tests wait for sockets and processes; the default leaves one processor idle.
    maxWorkers: '100%',
    ...reports('check'),
  },
})

import { defineConfig } from 'tsup'
import { builtinsAtOnce } from './scripts/builtins-at-once.mjs'
import { bundledLicences } from './scripts/bundled-licences.mjs'
import { oneSharedChunk } from './scripts/one-shared-chunk.mjs'
import { theCallersOwn } from './scripts/the-callers-own.mjs'

// One entry per subpath of the exports map.
const entry = {
  index: 'src/index.ts',
  tls: 'src/tls/index.ts',
  files: 'src/files/index.ts',
  https: 'src/adapters/https/index.ts',
  http2: 'src/adapters/http2/index.ts',
  undici: 'src/adapters/undici/index.ts',
  grpc: 'src/adapters/grpc/index.ts',
  express: 'src/adapters/express/index.ts',
  fastify: 'src/adapters/fastify/index.ts',
  'dev-agent': 'src/dev/agent/index.ts',
  testing: 'src/dev/testing/index.ts',
}

export default defineConfig({
  entry,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // Shared chunks: a class is one class, whichever subpath it was imported through.
  splitting: true,
  // The declarations beside the code are written by tsc.
  clean: ['!types/**'],
  dts: false,
  // A third less to read and scan at every start; names stay, so that stack traces can be read.
  minifyWhitespace: true,
  minifySyntax: true,
  noExternal: [
    // Bundled, with their licences: a service does not install what only the dev agent needs.
    '@grpc/grpc-js',
    '@grpc/proto-loader',
    '@peculiar/x509',
    'reflect-metadata',
    'fastify-plugin',
    // Its CommonJS costs every start some milliseconds when Node resolves and scans it; the package stays for its types.
    'eventemitter3',
  ],
  esbuildPlugins: [
    bundledLicences('THIRD-PARTY-LICENSES.txt'),
    // The dev agent brings its grpc-js; an application's channels and servers are made by the application's.
    theCallersOwn('@grpc/grpc-js', 'src/adapters/grpc'),
    // `tls` and `workload-api` bring all that is below them.
    oneSharedChunk(Object.values(entry), ['src/tls/index.ts', 'src/workload-api/index.ts', 'eventemitter3']),
  ],
  plugins: [builtinsAtOnce()],
})

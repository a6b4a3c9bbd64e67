import type { Plugin } from 'esbuild'

export declare function oneSharedChunk(entries: readonly string[], shared: readonly string[]): Plugin

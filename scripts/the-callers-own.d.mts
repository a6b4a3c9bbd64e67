import type { Plugin } from 'esbuild'

export declare function theCallersOwn(name: string, directory: string): Plugin

import type { Plugin } from 'esbuild'

export declare function bundledLicences(file: string): Plugin

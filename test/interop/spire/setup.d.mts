/** Paths of the cached binaries; builds them first where they are missing, which takes minutes. */
export declare function spireBinaries(): Promise<{ server: string; agent: string }>

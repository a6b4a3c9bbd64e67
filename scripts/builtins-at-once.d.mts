import type { Options } from 'tsup'

export declare function builtinsAtOnce(): NonNullable<Options['plugins']>[number]

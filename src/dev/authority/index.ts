export { DevAuthority } from './dev-authority.js'
export type { DevAuthorityOptions, IssueX509SvidOptions } from './dev-authority.js'

import { spawnSync } from 'node:child_process'

/** What the comparison needs, for whoever has not got it. */
export const opensslNeeded =
  'the command `openssl`, version 3 or newer, in PATH (Debian and Ubuntu: apt-get install openssl; macOS: brew install openssl)'

/** The version of the openssl command, such as `3.5.4`; `undefined` when there is none that can be compared with. */
export function opensslVersion(): string | undefined {
  // LibreSSL answers by its own name.
  const said = spawnSync('openssl', ['version'], { encoding: 'utf8' }).stdout as string | null
  const version = /^OpenSSL (\d+)(\.\d+)+\S*/.exec(said ?? '')
  return version && Number(version[1]) >= 3 ? version[0].slice('OpenSSL '.length) : undefined
}

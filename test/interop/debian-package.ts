import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
/** Where Debian puts programs; those for administrators are not on everybody's `PATH`. */
const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']

/** The path of a program of another project, installed from Debian's packages first where it is missing. */
export async function programOf(debianPackage: string, program: string): Promise<string> {
  return (
    find(program) ?? (await install(debianPackage), find(program)) ?? missing(program, debianPackage, 'not in PATH')
  )
}

/** The directory with the programs of the newest PostgreSQL server. */
export async function postgresPrograms(): Promise<string> {
  const newest = () => {
    const base = '/usr/lib/postgresql'
    const versions = existsSync(base) ? readdirSync(base).sort((a, b) => Number(b) - Number(a)) : []
    return versions.map((version) => join(base, version, 'bin')).find((bin) => existsSync(join(bin, 'initdb')))
  }
  return newest() ?? (await install('postgresql'), newest()) ?? missing('initdb', 'postgresql', 'not below /usr/lib')
}

function find(program: string): string | undefined {
  return directories.map((directory) => join(directory, program)).find((path) => existsSync(path))
}

async function install(debianPackage: string): Promise<void> {
  // Level 1: the services that come with the packages are not started.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1', LC_ALL: 'C' }
  try {
    await updateLists(env)
    const patience = ['-o', 'DPkg::Lock::Timeout=300']
    await run('apt-get', [...patience, 'install', '-y', '--no-install-recommends', debianPackage], { env })
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string }
    missing(debianPackage, debianPackage, stderr.trim().split('\n').slice(-3).join('; ') || message)
  }
}

/** Another test file may be at it: `apt-get` waits for dpkg, and never for the lists. */
async function updateLists(env: NodeJS.ProcessEnv): Promise<void> {
  const deadline = Date.now() + 300_000
  for (;;) {
    try {
      await run('apt-get', ['update'], { env, timeout: 300_000 })
      return
    } catch (error) {
      const { stderr = '' } = error as { stderr?: string }
      if (!/could not get lock/i.test(stderr) || Date.now() > deadline) throw error
      await delay(1_000)
    }
  }
}

function missing(what: string, debianPackage: string, why: string): never {
  throw new Error(`${what} is missing, and installing Debian's ${debianPackage} did not help: ${why}`)
}

import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'

export interface PythonPackages {
  /** As pip takes them. */
  requirements: readonly string[]
  /** Of the directory in the cache; another one for other versions. */
  name: string
  /** The oldest Python that they run with. */
  python: readonly [major: number, minor: number]
}

/**
 * A Python with packages of others, made once and kept in the user's cache. Says nothing when it is there.
 * @returns The path of its interpreter.
 * @throws Error that says what is missing: Python, its venv module, or a package index.
 */
export async function pythonWith({ requirements, name, python }: PythonPackages): Promise<string> {
  const place = join(cacheDirectory(), name)
  const interpreter = join(place, 'bin', 'python')
  if (await exists(interpreter)) return interpreter
  const wanted = requirements.join(' and ')
  const version = `import sys; sys.exit(sys.version_info < (${python.join(', ')}))`
  await run(
    'python3',
    ['-c', version],
    `Python ${python.join('.')} or newer is needed for ${wanted}, as \`python3\` on PATH`,
  )
  await mkdir(dirname(place), { recursive: true })
  const made = await mkdtemp(`${place}-`)
  try {
    await run('python3', ['-m', 'venv', made], 'Python needs its venv module (python3-venv on Debian)')
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...requirements]
    await run(join(made, 'bin', 'python'), pip, `pip could not install ${wanted}; it needs a package index`)
    // Whole or not there; a run at the same time may have been quicker, and its own serves as well.
    await rename(made, place).catch(async (error: unknown) => {
      if (!(await exists(interpreter))) throw error
    })
  } finally {
    await rm(made, { recursive: true, force: true })
  }
  return interpreter
}

/** Runs a program to its end. An error begins with what it needs. */
export function run(program: string, args: readonly string[], need: string): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: 600_000 }, (error, stdout, stderr) => {
      if (!error) resolve()
      else reject(new Error(`${need}. Its words: ${(stderr || stdout || error.message).trim().slice(-1_000)}`))
    })
  })
}

function cacheDirectory(): string {
  // The XDG specification has a relative path ignored.
  const xdg = process.env['XDG_CACHE_HOME'] ?? ''
  return join(isAbsolute(xdg) ? xdg : join(homedir(), '.cache'), 'authsec-sdk')
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

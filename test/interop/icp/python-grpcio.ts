import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'

/** What the tests were written with; any of this major version serves. */
const requirement = 'grpcio-tools>=1.70,<2'

/**
 * A Python with grpcio and its protoc, made once and kept in the user's cache. Says nothing when it is there.
 * @returns The path of its interpreter.
 * @throws Error that says what is missing: Python, its venv module, or a package index.
 */
export async function pythonWithGrpcio(): Promise<string> {
  const place = cacheDirectory()
  const python = join(place, 'bin', 'python')
  if (await exists(python)) return python
  await requirePython()
  await mkdir(dirname(place), { recursive: true })
  const made = await mkdtemp(`${place}-`)
  try {
    await run('python3', ['-m', 'venv', made], 'Python needs its venv module (python3-venv on Debian)')
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', requirement]
    await run(join(made, 'bin', 'python'), pip, `pip could not install ${requirement}; it needs a package index`)
    // Whole or not there; a run at the same time may have been quicker, and its own serves as well.
    await rename(made, place).catch(async (error: unknown) => {
      if (!(await exists(python))) throw error
    })
  } finally {
    await rm(made, { recursive: true, force: true })
  }
  return python
}

/** Has protoc make Python modules of the protos of this project. */
export function generatePython(python: string, protos: string, into: string): Promise<void> {
  const args = ['-m', 'grpc_tools.protoc', '-I', protos, `--python_out=${into}`, `--grpc_python_out=${into}`]
  const files = ['workload.proto', 'icp_workload.proto']
  return run(python, [...args, ...files], 'protoc of grpcio-tools could not read the protos')
}

async function requirePython(): Promise<void> {
  const script = 'import sys; sys.exit(sys.version_info < (3, 9))'
  await run('python3', ['-c', script], 'the ICP tests need Python 3.9 or newer as `python3` on the PATH')
}

function cacheDirectory(): string {
  // The XDG specification has a relative path ignored.
  const xdg = process.env['XDG_CACHE_HOME'] ?? ''
  return join(isAbsolute(xdg) ? xdg : join(homedir(), '.cache'), 'authsec-sdk', 'python-grpcio')
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function run(program: string, args: readonly string[], need: string): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: 600_000 }, (error, stdout, stderr) => {
      if (!error) resolve()
      else reject(new Error(`${need}. Its words: ${(stderr || stdout || error.message).trim().slice(-1_000)}`))
    })
  })
}

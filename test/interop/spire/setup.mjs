// Brings real SPIRE to this machine: `node test/interop/spire/setup.mjs`, or `await spireBinaries()`.
//
// Both binaries are built from the source that the Go module proxy publishes, because that source has a checksum that
// can be written down here, and kept in the user's cache. Where they are there already this prints nothing.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, realpathSync, rmSync } from 'node:fs'
import { access, constants, mkdir, readFile, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const module = 'github.com/spiffe/spire'
const version = '1.15.3'
/** Hash of every file of the module, as in go.sum. */
const knownSum = 'h1:z1h9DOYWtPdPQiKL2F+BShzfTq0k235tdROg0WRo8S8='

const programs = ['spire-server', 'spire-agent']

const heartbeatMs = 2_000
/** A lock that nobody touched for so long belongs to a run that was killed. */
const staleMs = 30_000
const longestWaitMs = 30 * 60_000
const progressMs = 60_000

/**
 * The two binaries, built first where they are missing (about 6 minutes on 2 cores).
 * @returns {Promise<{ server: string; agent: string }>} Absolute paths.
 * @throws Error whose message says what the set-up needs: Go, a C compiler, the network, the right source.
 */
export async function spireBinaries() {
  const cache = cacheDirectory()
  if ((await missing(cache)).length > 0) {
    await mkdir(cache, { recursive: true })
    await withLock(join(cache, '.building'), async (scratch, signal) => {
      // Another run may have finished while this one waited for the lock.
      const wanted = await missing(cache)
      if (wanted.length > 0) await build(wanted, { cache, scratch, signal })
    })
  }
  return { server: join(cache, 'spire-server'), agent: join(cache, 'spire-agent') }
}

function cacheDirectory() {
  // The XDG specification has a relative path ignored.
  const xdg = process.env['XDG_CACHE_HOME'] ?? ''
  return join(isAbsolute(xdg) ? xdg : join(homedir(), '.cache'), 'authsec-sdk', `spire-${version}`)
}

async function missing(cache) {
  const there = await Promise.all(
    programs.map((name) =>
      access(join(cache, name), constants.X_OK).then(
        () => true,
        () => false,
      ),
    ),
  )
  return programs.filter((_, index) => !there[index])
}

async function build(wanted, { cache, scratch, signal }) {
  const startedAt = Date.now()
  say(`building ${wanted.join(' and ')} ${version} from source, once (about 6 minutes on 2 cores)`)

  const source = join(scratch, 'source')
  const built = join(scratch, 'bin')
  const temporary = join(scratch, 'tmp')
  await Promise.all([source, built, temporary].map((directory) => mkdir(directory)))
  const go = (args, cwd) =>
    run('go', args, {
      cwd,
      signal,
      env: {
        ...process.env,
        GOFLAGS: '-mod=readonly -buildvcs=false -trimpath',
        GOWORK: 'off',
        CGO_ENABLED: '1', // the SQLite datastore of the server
        GOTMPDIR: temporary,
      },
    })

  const compiler = await requireTools(go, scratch)
  const published = await download(go, scratch)
  await copyVerified(published, source)
  await leaveOutEjbca(source)

  say(`source verified (${knownSum}), compiling with ${compiler}`)
  const ticker = setInterval(() => say(`still compiling, ${seconds(startedAt)} s so far`), progressMs)
  try {
    const packages = wanted.map((name) => `./cmd/${name}`)
    const result = await go(['build', '-ldflags', '-s -w', '-o', built + sep, ...packages], source)
    if (result.code !== 0) {
      throw new Error(
        `go build failed. It needs the Go version that SPIRE asks for, a working C compiler, about 5 GB of disk and ` +
          `access to a Go module proxy. Its last words:\n${tail(result.stderr, 30)}`,
      )
    }
  } finally {
    clearInterval(ticker)
  }

  for (const name of wanted) {
    const result = await run(join(built, name), ['--version'], { cwd: scratch, signal })
    const said = (result.stdout + result.stderr).trim()
    if (result.code !== 0 || !said.startsWith(version)) {
      throw new Error(`the ${name} just built should say that it is ${version}, but said: ${tail(said, 5)}`)
    }
  }
  // One rename per binary: whoever looks sees a whole one or none.
  for (const name of wanted) await rename(join(built, name), join(cache, name))
  say(`${wanted.join(' and ')} ready in ${cache} after ${seconds(startedAt)} s`)
}

/** Fails in the first second for what would otherwise fail minutes into the build. */
async function requireTools(go, cwd) {
  if (process.platform !== 'linux' && process.platform !== 'darwin') {
    throw new Error(`the unix workload attestor needs Linux or macOS, this is ${process.platform}`)
  }
  const environment = await go(['env', '-json', 'CC', 'GOVERSION'], cwd).catch((cause) => {
    if (cause.code !== 'ENOENT') throw cause
    throw new Error('no `go` on PATH. Install the Go toolchain (https://go.dev/dl) and run this again.', { cause })
  })
  if (environment.code !== 0) throw new Error(`\`go env\` failed: ${tail(environment.stderr, 5)}`)
  const { CC: cc, GOVERSION: goVersion } = JSON.parse(environment.stdout)
  const [compiler = 'cc', ...args] = cc.split(' ')
  const compiles = await run(compiler, [...args, '--version'], { cwd }).then(
    (result) => result.code === 0,
    () => false,
  )
  if (!compiles) {
    throw new Error(
      `no C compiler: Go would call \`${cc}\`, which does not run. The SQLite datastore of spire-server is C; ` +
        `install gcc or clang, or name yours in CC.`,
    )
  }
  return goVersion
}

/** Has Go fetch the module; returns the read-only directory in Go's own module cache. */
async function download(go, cwd) {
  const result = await go(['mod', 'download', '-json', `${module}@v${version}`], cwd)
  let answer = {}
  try {
    answer = JSON.parse(result.stdout)
  } catch {
    // No JSON: the reason is on stderr.
  }
  if (result.code !== 0 || typeof answer.Dir !== 'string') {
    throw new Error(
      `cannot download ${module} v${version}. This needs the network, or a Go module proxy named by GOPROXY. ` +
        `Go said: ${answer.Error ?? tail(result.stderr, 10)}`,
    )
  }
  return answer.Dir
}

/**
 * Copies the module's directory and proves that what was copied is what was published: the hash is taken from the
 * bytes that get compiled, since anything may have happened to Go's cache after Go checked its download.
 */
async function copyVerified(from, to) {
  const names = (await readdir(from, { recursive: true, withFileTypes: true }))
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(from.length + 1))
    .map((name) => name.split(sep).join('/'))
    .sort()
  const list = createHash('sha256')
  for (const name of names) {
    const bytes = await readFile(join(from, name))
    list.update(`${createHash('sha256').update(bytes).digest('hex')}  ${module}@v${version}/${name}\n`)
    await mkdir(dirname(join(to, name)), { recursive: true })
    await writeFile(join(to, name), bytes)
  }
  const sum = `h1:${list.digest('base64')}`
  if (sum !== knownSum) {
    throw new Error(
      `checksum mismatch: the source of ${module} v${version} has ${sum}, expected ${knownSum}. ` +
        `Nothing was built. If Go's module cache was altered, \`go clean -modcache\` empties it.`,
    )
  }
}

/** One upstream authority depends on a module that is not published; nothing here uses that authority. */
async function leaveOutEjbca(source) {
  await rm(join(source, 'pkg/server/plugin/upstreamauthority/ejbca'), { recursive: true })
  const catalog = join(source, 'pkg/server/catalog/upstreamauthority.go')
  const before = (await readFile(catalog, 'utf8')).split('\n')
  const after = before.filter((line) => !line.includes('ejbca'))
  if (before.length - after.length !== 2) {
    throw new Error(`expected 2 lines about ejbca in ${catalog}, found ${before.length - after.length}`)
  }
  await writeFile(catalog, after.join('\n'))
}

/**
 * Runs `work` while holding the directory `lock`, which is also the work's scratch space: whoever removes a lock left
 * by a killed run removes its copies with it. Should two runs ever both believe that they hold it, one of them fails
 * with a message; the binaries still appear by rename only.
 */
async function withLock(lock, work) {
  await takeLock(lock)
  const abort = new AbortController()
  const heartbeat = setInterval(() => {
    utimes(lock, new Date(), new Date()).catch(() => abort.abort(new Error(`${lock} was removed during the build`)))
  }, heartbeatMs)
  const onSignal = (name) => {
    abort.abort(new Error(`ended by ${name}`))
    rmSync(lock, { recursive: true, force: true, maxRetries: 10 })
    release() // only now, so that a second signal does not cut the removal short
    process.kill(process.pid, name)
  }
  const release = () => {
    clearInterval(heartbeat)
    for (const name of signals) process.off(name, onSignal)
  }
  for (const name of signals) process.on(name, onSignal)
  try {
    await work(lock, abort.signal)
  } finally {
    release()
    await rm(lock, { recursive: true, force: true, maxRetries: 10 })
  }
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']

async function takeLock(lock) {
  const startedAt = Date.now()
  for (let told = false; ;) {
    try {
      await mkdir(lock)
      return
    } catch (cause) {
      if (cause.code !== 'EEXIST') throw cause
    }
    const touchedAt = await stat(lock).then(
      (stats) => stats.mtimeMs,
      () => undefined,
    )
    if (touchedAt === undefined) continue
    if (Date.now() - touchedAt > staleMs) {
      // Aside first, so that of two waiting runs only one gets to remove it.
      const aside = `${lock}-${process.pid}`
      const moved = await rename(lock, aside).then(
        () => true,
        () => false,
      )
      if (moved) await rm(aside, { recursive: true, force: true })
      continue
    }
    if (Date.now() - startedAt > longestWaitMs) {
      throw new Error(`another run has held ${lock} for ${seconds(startedAt)} s; end it or remove that directory`)
    }
    if (!told) say('another run is building SPIRE, waiting for it')
    told = true
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

/** Runs a program to its end in a process group of its own, so that ending it ends the compilers it started. */
function run(command, args, { cwd, env = process.env, signal }) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const child = spawn(command, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    const output = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8')
      child[name].on('data', (text) => (output[name] += text))
    }
    const onAbort = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch {
        // It has ended already.
      }
      reject(signal.reason)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    child.once('error', reject)
    child.once('close', (code) => {
      signal?.removeEventListener('abort', onAbort)
      resolve({ code, ...output })
    })
  })
}

function tail(text, lines) {
  return text.trim().split('\n').slice(-lines).join('\n')
}

function seconds(startedAt) {
  return Math.round((Date.now() - startedAt) / 1_000)
}

function say(text) {
  process.stderr.write(`spire set-up: ${text}\n`)
}

const started = process.argv[1]
if (started !== undefined && existsSync(started) && realpathSync(started) === fileURLToPath(import.meta.url)) {
  try {
    await spireBinaries()
  } catch (error) {
    say(error instanceof Error ? error.message : String(error))
    process.exitCode = 1
  }
}

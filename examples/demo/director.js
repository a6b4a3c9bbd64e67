// Starts the processes of the demo and talks to them over Node's own channel between parent and child.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const patienceMs = 8_000
const children = []

/** Starts one process and waits until it has introduced itself. */
export async function startProcess(script, args, env) {
  const child = fork(fileURLToPath(new URL(script, import.meta.url)), args, { env: { ...process.env, ...env } })
  children.push(child)
  const member = { child, ask: (request) => ask(child, request), next: (type) => next(child, type) }
  member.hello = await next(child, 'ready')
  return member
}

/** Closes the channels, which ends the processes. */
export async function stopProcesses() {
  await Promise.all(
    children.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = new Promise((resolve) => child.once('exit', resolve))
      if (child.connected) child.disconnect()
      const patience = setTimeout(() => child.kill('SIGKILL'), 2_000)
      await ended
      clearTimeout(patience)
    }),
  )
}

let lastSeq = 0

async function ask(child, request) {
  const seq = ++lastSeq
  const answer = next(child, 'answer', seq)
  child.send({ ...request, seq })
  const { value, error } = await answer
  if (error) throw Object.assign(new Error(error.message), { code: error.code })
  return value
}

/** The next message of a type; an exit of the child or too long a silence is an error. */
function next(child, type, seq) {
  return new Promise((resolve, reject) => {
    const settle = (act) => {
      clearTimeout(patience)
      child.off('message', onMessage)
      child.off('exit', onExit)
      act()
    }
    const onMessage = (message) => {
      if (message.type === type && message.seq === seq) settle(() => resolve(message))
    }
    const onExit = (code) =>
      settle(() => reject(new Error(`a process ended with ${code} while we waited for "${type}"`)))
    const patience = setTimeout(
      () => settle(() => reject(new Error(`no "${type}" from a process in ${patienceMs} ms`))),
      patienceMs,
    )
    child.on('message', onMessage)
    child.on('exit', onExit)
  })
}

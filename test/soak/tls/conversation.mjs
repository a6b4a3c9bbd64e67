/** Questions to a child process: `ask(message)` resolves to its answer, and rejects when the child has ended. */
export function conversationWith(child) {
  const waiting = new Map()
  let asked = 0
  let gone
  child.on('message', ({ to, answer }) => {
    waiting.get(to)?.resolve(answer)
    waiting.delete(to)
  })
  child.once('exit', (code, signal) => {
    gone = new Error(`the servers ended with ${code ?? signal}`)
    for (const { reject } of waiting.values()) reject(gone)
  })
  return (message) =>
    new Promise((resolve, reject) => {
      if (gone) throw gone
      const id = ++asked
      waiting.set(id, { resolve, reject })
      child.send({ id, message })
    })
}

/** The other side: `answers` has a function for each member that a message may have. */
export function answerParent(answers) {
  process.on('message', async ({ id, message }) => {
    const answer = {}
    for (const [name, value] of Object.entries(message)) answer[name] = await answers[name](value)
    process.send({ to: id, answer })
  })
}

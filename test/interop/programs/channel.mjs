// How a program talks to the test that started it: it tells events, and answers tasks.

/** Tells the test that something happened, and when. */
export function tell(name, detail = {}) {
  if (process.connected) process.send({ type: 'event', name, at: Date.now(), ...detail })
}

/** Answers each task by the function of its name. */
export function answerTasks(tasks) {
  process.on('message', async ({ seq, task, input }) => {
    let answer
    try {
      answer = { value: await tasks[task](input) }
    } catch (error) {
      answer = { error: describe(error) }
    }
    if (process.connected) process.send({ type: 'answer', seq, ...answer })
  })
}

/** The global fetch wraps what went wrong. */
export function describe(error) {
  const { code, message, grpcStatus } = error.code === undefined ? (error.cause ?? error) : error
  return { code, message, grpcStatus }
}

let end = () => process.exit(0)
process.once('disconnect', () => end())

/** What to do when the test closes the channel or is gone. Until this is called: end at once. */
export function endWithTest(inGoodOrder) {
  end = inGoodOrder
}

/**
 * A QEMU for tests of the keeper that a real guest cannot make: nonsense, half frames, floods, silence, an early death. It is
 * Node.js, given to launch-vm as QEMU's descriptor, and runs this text and then the test's; the ports are the descriptors that QEMU would
 * have. Reads and writes wait, so a script is what happens, in order.
 */
export const FAKE_QEMU = `
const fs = require('node:fs')
const [MONITOR, CONTROL, STREAMS, CONSOLE, ENTER] = [4, 5, 6, 7, 8]
const [HELLO, APP, APP_EXIT, POD, RESULT, FAILURE, STOP, OFF] = [1, 2, 3, 4, 5, 6, 32, 33]
const [OUT, ERR, IN, RESIZE, TAKEN] = [64, 65, 66, 67, 68]
const [OPEN, FILE, START, SIGNAL, EXIT] = [96, 97, 98, 99, 100]
const [WAITING, PRE_START, RUNNING, POST_STOP, RESTARTING, ENDED] = [0, 1, 2, 3, 4, 5]

function put(fd, bytes) {
  const all = Buffer.from(bytes)
  for (let done = 0; done < all.length; ) done += fs.writeSync(fd, all, done)
}
function frame(kind, channel = 0, payload = '') {
  const body = Buffer.from(payload)
  const head = Buffer.from([kind, channel, 0, 0])
  head.writeUInt16LE(body.length, 2)
  return Buffer.concat([head, body])
}
function u32(value) {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
function say(kind, channel, payload) { put(CONTROL, frame(kind, channel, payload)) }
function hello() { say(HELLO, 0, u32(1)) }
function app(channel, phase, s = {}) {
  const bytes = Buffer.alloc(20)
  bytes.set([phase, s.during ?? 0, s.exitStatus ?? 0, s.signal ?? 0])
  bytes.writeUInt32LE(s.restarts ?? 0, 4)
  bytes.writeUInt32LE(s.pid ?? 0, 8)
  bytes.writeBigUInt64LE(BigInt(s.oomKills ?? 0), 12)
  say(APP, channel, bytes)
}
function exactly(fd, size) {
  const bytes = Buffer.alloc(size)
  for (let done = 0; done < size; ) {
    const n = fs.readSync(fd, bytes, done, size - done)
    if (n === 0) process.exit(99) // the keeper is gone
    done += n
  }
  return bytes
}
/** The next frame of a port. */
function next(fd) {
  const head = exactly(fd, 4)
  return { kind: head[0], channel: head[1], payload: exactly(fd, head.readUInt16LE(2)) }
}
function expect(fd, kind) {
  const found = next(fd)
  if (found.kind !== kind) { process.stderr.write('expected ' + kind + ', got ' + found.kind + '\\n'); process.exit(98) }
  return found.payload
}
/** The next line of what the keeper says to the monitor. */
function command() {
  let line = ''
  for (;;) {
    const c = exactly(MONITOR, 1).toString()
    if (c === '\\n') return line
    line += c
  }
}
function greet() {
  put(MONITOR, '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}\\r\\n')
  command()
  put(MONITOR, '{"return": {}}\\r\\n')
}
function event(name, data) {
  const text = data === undefined ? '' : ', "data": ' + data
  put(MONITOR, '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "' + name + '"' + text + '}\\r\\n')
}
function shutdown(reason) { event('SHUTDOWN', '{"guest": true, "reason": "' + reason + '"}') }
/** Ends all streams and the pod with this status, as a guest in order does. */
function finish(status, apps = 1) {
  for (let i = 0; i < apps; i++) put(STREAMS, Buffer.concat([frame(OUT, i), frame(ERR, i)]))
  say(POD, 0, [3])
  say(RESULT, 0, [status])
  expect(CONTROL, OFF)
  shutdown('guest-shutdown')
  process.exit(0)
}
function silence() { for (;;) exactly(CONTROL, 1) }
`

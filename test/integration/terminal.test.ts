import assert from 'node:assert/strict'
import { listPods } from '../../stage1/pod/index.ts'
import { HOLDFAST_PROGRAM } from '../support/holdfast.ts'
import { quoted, Terminal } from '../support/terminal.ts'
import { inBothWays, needsWholePath, startNode, type WholeNode } from '../support/whole-path.ts'

const CTRL_C = '\x03'

inBothWays('holdfast run --interactive, with real agent, TPM and verifier', ({ stage0 }) => {
  let node: WholeNode
  let terminal: Terminal | undefined

  before(async function () {
    const why = Terminal.impossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    needsWholePath(this)
    node = await startNode({ stage0 })
  })
  after(async () => {
    await terminal?.close()
    if (node === undefined) return
    const dir = node.d.dataDirectory
    for (const { uuid } of listPods(dir, ['run'])) await node.d.holdfast('stop', '--force', '--dir', dir, uuid)
    await node.d.stop()
  })

  it('gives the app the caller’s terminal, and gives it back as it was', async () => {
    const { d, image } = node
    const run = [HOLDFAST_PROGRAM, 'run', ...d.nodeOptions, '--interactive', image, '--', 'sh'].map(quoted).join(' ')
    const line = `stty -g; echo before; ${run}; status=$?; echo after; stty -g; exit $status`
    terminal = await Terminal.start(line, 33, 77)
    const [, settings] = await terminal.shows(/([0-9a-f:]+)\r\nbefore\r\n/)

    terminal.type('echo pid=$$ tty=$(tty)=; stty size\n')
    await terminal.shows(/pid=[0-9]+ tty=\/dev\/[a-z0-9/]+=\r\n33 77\r\n/)
    terminal.resize(44, 88)
    terminal.type('until test "$(stty size)" = "44 88"; do :; done; echo resized-$((6 * 7))\n')
    await terminal.shows(/resized-42\r\n/)

    terminal.type("sh -c 'echo sleeps-$((6 * 7)); exec sleep 1000'\n")
    await terminal.shows(/sleeps-42\r\n/)
    terminal.type(CTRL_C)
    await terminal.shows(/# /) // the prompt
    terminal.type('echo ended=$?\n')
    await terminal.shows(/ended=130\r\n/)

    terminal.type('exit 9\n')
    const [, restored] = await terminal.shows(/after\r\n([0-9a-f:]+)\r\n/)
    assert.equal(restored, settings)
    assert.equal(await terminal.ended(), 9)
  })
})

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { tryFlock } from '../../../native/process/index.ts'
import {
  NAMESPACE_DIR,
  PodNetworkDir,
  parseNetworkChoice,
  resolveNetworks,
  setUpNetworks,
  tearDownNetworks,
} from '../../../stage1/network/index.ts'
import { run } from '../../support/holdfast.ts'
import { buildStage1Program, STAGE1_PROGRAM } from '../../support/pods.ts'
import { type PluginCall, ScriptedPlugins } from '../../support/scripted-plugin.ts'
import { tempDir } from '../../support/temp-dir.ts'

describe('stage1/network set-up and undoing (scripted plugins, real namespaces and janitors)', () => {
  const { path: work, remove } = tempDir()
  const open = new Map<string, number>()
  const fifo = (name: string): string => new ScriptedPlugins(work).fifo(name)

  before(function () {
    if (process.geteuid?.() !== 0) {
      console.log('      skipped: network namespaces are made by root')
      this.skip()
    }
    buildStage1Program()
  })
  after(async () => {
    for (const [podPath, fd] of open) {
      fs.closeSync(fd)
      await tearDownNetworks(podPath, STAGE1_PROGRAM).catch(() => {}) // some tests leave what cannot be undone
      fs.rmSync(path.join(NAMESPACE_DIR, path.basename(podPath)), { force: true })
    }
    remove()
  })

  /** A pod of two plugins, each with what is added to its configuration; its lock is held until `release`. */
  const makePod = (first: object = {}, second: object = {}) => {
    const uuid = randomUUID()
    const podPath = path.join(work, 'run', uuid)
    fs.mkdirSync(podPath, { recursive: true })
    const fd = fs.openSync(podPath, 'r')
    assert.ok(tryFlock(fd, 'exclusive'))
    open.set(podPath, fd)
    const plugins = new ScriptedPlugins(work, 'one', 'two')
    const configs = path.join(plugins.directory, 'net.d')
    fs.mkdirSync(configs)
    const network = {
      cniVersion: '1.0.0',
      name: 'lan',
      plugins: [
        { type: 'one', ...first },
        { type: 'two', ...second },
      ],
    }
    fs.writeFileSync(path.join(configs, 'lan.conflist'), JSON.stringify(network))
    const pluginDirs = [plugins.directory]
    const networks = resolveNetworks(parseNetworkChoice(['lan']), [], { configs: [configs], plugins: pluginDirs })
    const setUp = (signal?: AbortSignal) =>
      setUpNetworks({
        pod: { uuid, path: podPath, fd },
        networks,
        pluginDirs,
        stage1Program: STAGE1_PROGRAM,
        janitorCgroups: { make: [], join: [] },
        podParents: [path.join(work, 'run')],
        onLeft: (message) => assert.fail(message),
        ...(signal === undefined ? {} : { signal }),
      })
    const release = (): void => {
      fs.closeSync(fd)
      open.delete(podPath)
    }
    const directory = new PodNetworkDir(podPath)
    const commands = () => plugins.calls().map((c) => `${c.command} ${c.type}`)
    /** By whoever gets there first, the janitor or this. */
    const undone = () => tearDownNetworks(podPath, STAGE1_PROGRAM)
    return { podPath, directory, plugins, setUp, release, commands, undone, namespace: path.join(NAMESPACE_DIR, uuid) }
  }

  it('hands results on in order, and undoes in reverse with the last result once the pod’s lock is free', async () => {
    const pod = makePod()
    const up = await pod.setUp()
    assert.deepEqual(up.joined, [{ name: 'lan', interfaceName: 'eth0', addresses: ['10.9.0.5/24'] }])
    assert.deepEqual(pod.directory.joined(), up.joined)
    assert.equal((await run('nsenter', [`--net=${up.namespace}`, 'ip', '-o', 'link'])).stdout.split('\n').length, 2)
    assert.deepEqual(pod.commands(), ['ADD one', 'ADD two'])
    pod.release()
    await pod.undone()
    assert.deepEqual(pod.commands(), ['ADD one', 'ADD two', 'DEL two', 'DEL one'])
    const [add1, add2, del2, del1] = pod.plugins.calls()
    assert.equal(add1?.config['prevResult'], undefined)
    assert.deepEqual(
      [add2, del2, del1].map((call) => resultBefore(call)),
      ['one', 'two', 'two'],
    )
    for (const del of [del2, del1]) assert.equal(del?.namespace, pod.namespace)
    assert.equal(fs.existsSync(pod.namespace), false)
    assert.equal(pod.directory.needsUndo(), false)
    await pod.undone() // and again, for nothing
    assert.equal(pod.commands().length, 4)
  })

  it('says which plugin failed and why, and undoes those before it and itself', async () => {
    const pod = makePod({}, { fail: 'ADD' })
    await assert.rejects(pod.setUp(), {
      code: 'NETWORK_PLUGIN_FAILED',
      message: 'plugin two of network lan failed with code 11: no addresses are left',
    })
    pod.release()
    await pod.undone()
    assert.deepEqual(pod.commands(), ['ADD one', 'ADD two', 'DEL two', 'DEL one'])
  })

  it('keeps what could not be undone, says so, and undoes only that when it is tried again', async () => {
    const pod = makePod({ fail: 'DEL' })
    await pod.setUp()
    await assert.rejects(pod.undone(), {
      code: 'NETWORK_UNDO_FAILED',
      message: /one could not undo: it failed: .*no addresses/,
    })
    assert.deepEqual(pod.commands().slice(2), ['DEL two', 'DEL one'])
    assert.ok(pod.directory.needsUndo())
    const step = path.join(pod.directory.path, 'undo/0')
    fs.writeFileSync(step, fs.readFileSync(step, 'utf8').replace('"fail":"DEL"', '"fail":"no"'))
    await pod.undone()
    // the namespace is gone by now, as after a reboot: the plugin is told so
    assert.deepEqual(
      pod.plugins
        .calls()
        .slice(4)
        .map((c) => [c.type, c.namespace]),
      [['one', '-']],
    )
    assert.equal(pod.directory.needsUndo(), false)
  })

  it('forgets a plugin that refused and cannot undo either', async () => {
    const pod = makePod({ fail: 'ADD' })
    const step = path.join(pod.directory.path, 'undo/0')
    await assert.rejects(pod.setUp(), { code: 'NETWORK_PLUGIN_FAILED' })
    fs.writeFileSync(step, fs.readFileSync(step, 'utf8').replace('"fail":"ADD"', '"fail":"DEL"'))
    await pod.undone()
    assert.equal(pod.directory.needsUndo(), false)
  })

  it('kills a plugin when it is given up, and undoes it', async () => {
    const waiting = makePod({}, { wait: fifo('never') })
    const giveUp = new AbortController()
    const failing = assert.rejects(waiting.setUp(giveUp.signal), { code: 'NETWORK_PLUGIN_TIMEOUT' })
    while (!waiting.commands().includes('ADD two')) await new Promise((resolve) => setTimeout(resolve, 5))
    giveUp.abort()
    await failing
    await waiting.undone()
    assert.deepEqual(waiting.commands().slice(2), ['DEL two', 'DEL one'])
  })

  it('refuses a plugin that changed after it was measured', async () => {
    const pod = makePod()
    fs.appendFileSync(path.join(pod.plugins.directory, 'two'), '# other\n')
    await assert.rejects(pod.setUp(), { code: 'NETWORK_PROGRAM_CHANGED' })
    await pod.undone()
  })
})

/** Which plugin's result a call was given. */
function resultBefore(call: PluginCall | undefined): unknown {
  return Reflect.get(Object(call?.config['prevResult']), 'by')
}

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { utf8 } from '../../../../attestation/base/index.ts'
import {
  addressesArchive,
  type PodArchiveSettings,
  podArchive,
} from '../../../../stage1/flavours/kvm/guest-archives.ts'

const SETTINGS: PodArchiveSettings = {
  files: new Map([
    ['apps.list', utf8('web\0')],
    ['apps/web/argv', utf8('/bin/web\0')],
  ]),
  hostname: 'pod-1',
  salt: new Uint8Array(32).fill(9),
  trees: [{ dataSerial: 'd0', hashSerial: 'h0', blocks: 7, rootHash: 'ab'.repeat(32) }],
  writable: 'memory',
  memoryLayerBytes: 1048576,
  tpm: false,
}
const INTERFACE = { name: 'eth0', mac: '0a:58:0a:00:00:02', addresses: ['10.1.0.2/16', 'fd00::2/64'], routes: [] }

describe('archives of a guest', () => {
  let dir = ''
  beforeEach(() => {
    dir = mkdtempSync(`${tmpdir()}/holdfast-archive-`)
  })
  afterEach(() => rmSync(dir, { recursive: true }))

  /** busybox is the other opinion. */
  function unpack(...archives: Uint8Array[]): (name: string) => string {
    for (const input of archives) {
      execFileSync('busybox', ['cpio', '-i', '-u'], { cwd: dir, input, stdio: ['pipe', 'ignore', 'pipe'] })
    }
    return (name) => readFileSync(`${dir}/s1/plan/${name}`, 'utf8')
  }

  it('hold the plan and what the guest makes its roots of', () => {
    const read = unpack(podArchive(SETTINGS))
    assert.equal(read('apps.list'), 'web\0')
    assert.equal(read('apps/web/argv'), '/bin/web\0')
    assert.equal(read('hostname'), 'pod-1\0')
    assert.equal(read('trees'), `d0\0h0\x007\0${'ab'.repeat(32)}\0`)
    assert.equal(read('writable'), 'memory\0')
    assert.equal(read('memory-layer-bytes'), '1048576\0')
    assert.deepEqual(new Uint8Array(readFileSync(`${dir}/s1/plan/salt`)), SETTINGS.salt)
    assert.deepEqual(readdirSync(`${dir}/s1/plan`), [
      ...['apps', 'apps.list', 'hostname', 'memory-layer-bytes', 'salt', 'tpm', 'trees', 'writable'],
    ])
  })

  it('are read by PID 1 alone', () => {
    unpack(podArchive(SETTINGS), addressesArchive(new Map(), [INTERFACE]))
    assert.equal(statSync(`${dir}/s1/plan`).mode & 0o777, 0o700)
    assert.equal(statSync(`${dir}/s1/plan/apps/web/argv`).mode & 0o777, 0o600)
    assert.equal(statSync(`${dir}/s1/plan/interfaces`).mode & 0o777, 0o600)
  })

  it('name the disk of writable layers', () => {
    assert.equal(unpack(podArchive({ ...SETTINGS, writable: 'disk' }))('writable'), 'w\0')
  })

  it('say that there is a TPM, and what it is to be told', () => {
    const digest = 'cd'.repeat(32)
    const read = unpack(podArchive({ ...SETTINGS, tpm: true }), addressesArchive(new Map(), [], digest))
    assert.deepEqual([read('tpm'), read('pod-archive')], ['own\0', `${digest}\0`])
    assert.equal(unpack(podArchive(SETTINGS))('tpm'), 'none\0')
  })

  it('hide the environment: with another salt the same pod has another digest', () => {
    assert.deepEqual(podArchive(SETTINGS), podArchive(SETTINGS))
    assert.notDeepEqual(podArchive(SETTINGS), podArchive({ ...SETTINGS, salt: new Uint8Array(32) }))
    for (const size of [0, 31, 33]) {
      assert.throws(() => podArchive({ ...SETTINGS, salt: new Uint8Array(size) }), RangeError)
    }
  })

  it('add addresses to the plan, and take nothing of it away', () => {
    const routes = [{ destination: '0.0.0.0/0', gateway: '10.1.0.1' }, { destination: '10.9.0.0/16' }]
    const files = new Map([['resolv.conf', utf8('nameserver 10.1.0.1\n')]])
    const second = { ...INTERFACE, name: 'eth1', mtu: 1400, addresses: [], routes }
    const read = unpack(podArchive(SETTINGS), addressesArchive(files, [INTERFACE, second]))
    assert.equal(read('apps.list'), 'web\0')
    assert.equal(read('resolv.conf'), 'nameserver 10.1.0.1\n')
    assert.deepEqual(read('interfaces').split('\0'), [
      ...['0a:58:0a:00:00:02', 'eth0', '', '10.1.0.2/16 fd00::2/64', '', ''],
      ...['0a:58:0a:00:00:02', 'eth1', '1400', '', '0.0.0.0/0,10.1.0.1 10.9.0.0/16', ''],
      '',
    ])
  })

  it('hold no text that would be two', () => {
    assert.throws(() => podArchive({ ...SETTINGS, hostname: 'a\0b' }), RangeError)
    assert.throws(() => addressesArchive(new Map(), [{ ...INTERFACE, name: 'eth\0' }]), RangeError)
  })
})

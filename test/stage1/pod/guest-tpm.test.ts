import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { toHex } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { decodeCertificate, makeRootStore, verifyEndorsement } from '../../../attestation/endorsement/index.ts'
import { makeCredential, nodeIdOf, objectName } from '../../../attestation/tpm2/index.ts'
import { parseRunOptions } from '../../../stage1/cli/run-options.ts'
import { refuseTpm, removeTpm, tpmIsolator, tpmWanted } from '../../../stage1/pod/guest-tpm.ts'
import { type MadeTpm, makeTpm, openTpmPrograms } from '../../../stage1/pod/guest-tpm-state.ts'
import { openHostProgram } from '../../../stage1/pod/host-programs.ts'
import { buildPodManifest, readAppLimits } from '../../../stage1/pod/index.ts'
import { readPodLimits } from '../../../stage1/pod/isolators.ts'
import { podAuthority } from '../../../stage1/pod/pod-authority.ts'
import { startSwtpm, swtpmMissing } from '../../support/swtpm.ts'
import { tpmClient } from '../../support/tpm-client.ts'

const withValue = (value: unknown) => ({ isolators: [{ name: 'holdfast/tpm', value }] })

describe('the isolator holdfast/tpm', () => {
  it('is true or false, a pod’s and no app’s', () => {
    assert.deepEqual(
      [tpmWanted(withValue(true)), tpmWanted(withValue(false)), tpmWanted({ isolators: [] })],
      [true, false, false],
    )
    assert.deepEqual(readPodLimits([tpmIsolator]), {})
    assert.throws(() => tpmWanted(withValue('yes')), { code: 'POD_ISOLATOR_BAD' })
    assert.throws(() => readAppLimits([tpmIsolator]), { code: 'POD_UNSUPPORTED' })
  })

  it('is refused for a pod that is no virtual machine', () => {
    assert.throws(() => refuseTpm(withValue(true)), { code: 'POD_UNSUPPORTED', hint: /--stage1 kvm/ })
    refuseTpm(withValue(false))
  })

  it('comes from the option --tpm of run', () => {
    const o = parseRunOptions(['--tpm', 'busybox'])
    assert.ok(o !== 'help' && o.tpm)
    assert.deepEqual(buildPodManifest([], [], { hostname: 'h', tpm: o.tpm }).isolators, [tpmIsolator])
    assert.deepEqual(buildPodManifest([], [], { hostname: 'h', tpm: false }).isolators, [])
    assert.throws(() => parseRunOptions(['--tpm', '--pod-manifest', 'pod.json']), { code: 'USAGE' })
  })
})

describe('programs of a TPM', () => {
  for (const [name, dpkg] of [
    ['swtpm', 'swtpm'],
    ['swtpm_setup', 'swtpm-tools'],
    ['swtpm_cert', 'swtpm-tools'],
    ['libtpms.so.0', 'libtpms0'],
  ] as const) {
    it(`that are missing are named with the package that has them: ${name}`, () => {
      const hint = `Install it: apt-get install ${dpkg}.`
      assert.throws(() => openHostProgram(name, `/nowhere/${name}`), { code: 'POD_PROGRAM_MISSING', hint })
    })
  }
})

describe('the state of a TPM', () => {
  const USER = 0x7abc_0001
  let work: string
  const opened: number[] = []

  before(function () {
    const why = process.geteuid?.() === 0 ? swtpmMissing() : 'not root'
    if (why === undefined) return
    console.log(`      skipped: ${why}`)
    this.skip()
  })
  beforeEach(() => {
    work = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-tpm-'))
  })
  afterEach(() => {
    for (const fd of opened.splice(0)) fs.closeSync(fd)
    fs.rmSync(work, { recursive: true, force: true })
  })

  const make = async (name = 'pod'): Promise<MadeTpm & { readonly pod: string }> => {
    const pod = path.join(work, name)
    fs.mkdirSync(path.join(pod, 'tpm-setup'), { recursive: true }) // of a launch that was killed
    return { ...(await makeTpm({ dir: work, uuid: name, path: pod }, USER, openTpmPrograms(opened), opened)), pod }
  }

  it('has an EK that the rules of enrolment take, with the CA of the node for a root and without a warning', async () => {
    const { measured, pod } = await make()
    const tpm = await startSwtpm({ directory: path.join(pod, 'tpm'), caCertificates: [], remove: async () => {} })
    try {
      const [key, certificate] = ['key', 'certificate'].map((name) => path.join(work, name)) as [string, string]
      await tpm.tool('tpm2_readpublic', '-c', '0x81010016', '-f', 'tpmt', '-o', key)
      await tpm.tool('tpm2_nvread', '0x01c00016', '-o', certificate)
      const authority = podAuthority(work, new Date())
      const claim = { ekPublic: fs.readFileSync(key), ekCertificate: fs.readFileSync(certificate), ekChain: [] }
      const policy = { validity: 'strict', sha1: 'refuse' } as const
      const trust = {
        roots: makeRootStore([authority.certificate]),
        listed: new Set<string>(),
        policy,
        now: new Date(),
      }
      const result = verifyEndorsement(claim, trust)
      assert.ok(result.kind === 'chain', JSON.stringify(result))
      assert.deepEqual([result.nodeId, result.findings], [measured.node, []])
      assert.equal(result.path[0]?.fingerprint, measured.certificate)
      const other = podAuthority(path.join(work, 'other'), new Date()).certificate
      assert.equal(verifyEndorsement(claim, { ...trust, roots: makeRootStore([other]) }).kind, 'refused')
    } finally {
      await tpm.stop()
    }
  })

  it('is known to an agent by the key and the certificate that were measured, and activates a credential for it', async () => {
    const { measured, pod } = await make()
    const tpm = await startSwtpm({ directory: path.join(pod, 'tpm'), caCertificates: [], remove: async () => {} })
    const client = tpmClient(tpm.tcti)
    try {
      const { ekPublic, ekCertificate, akPublic } = await client.provisionIdentity()
      assert.equal(nodeIdOf(ekPublic), measured.node)
      assert.equal(toHex(digest('sha256', ekCertificate ?? assert.fail('no certificate'))), measured.certificate)
      const secret = randomBytes(32)
      const credential = makeCredential(ekPublic, objectName(akPublic), secret, (n) => randomBytes(n))
      const opened = await client.activateCredential(credential.idObject, credential.encryptedSecret)
      assert.deepEqual(Buffer.from(opened), secret)
    } finally {
      await client.close()
      await tpm.stop()
    }
  })

  it('belongs to one user alone, and nothing else of its making stays', async () => {
    const { pod, check } = await make()
    const directory = fs.statSync(path.join(pod, 'tpm'))
    const state = fs.statSync(path.join(pod, 'tpm/tpm2-00.permall'))
    assert.deepEqual([directory.mode & 0o7777, directory.uid, directory.gid], [0o700, USER, USER])
    assert.deepEqual([state.mode & 0o7777, state.uid], [0o600, USER])
    assert.deepEqual(fs.readdirSync(pod), ['tpm'])
    check(pod)
    removeTpm(pod)
    assert.deepEqual(fs.readdirSync(pod), [])
    removeTpm(pod)
  })

  it('is another one for each pod, and was not there before', async () => {
    const [one, two] = [await make('one'), await make('two')]
    assert.notEqual(one.measured.node, two.measured.node)
    assert.equal(one.measured.authority, two.measured.authority)
    fs.mkdirSync(path.join(work, 'three/tpm'), { recursive: true })
    const pod = { dir: work, uuid: 'three', path: path.join(work, 'three') }
    await assert.rejects(makeTpm(pod, USER, openTpmPrograms(opened), opened), { code: 'LAUNCH_CHANGED' })
  })

  it('cannot be made without what is needed: a launch ends with the last words of the program, and leaves nothing', async () => {
    const programs = openTpmPrograms(opened).map((p) => (p.name === 'swtpm_cert' ? { ...p, fd: programFalse() } : p))
    fs.mkdirSync(path.join(work, 'pod'))
    const pod = { dir: work, uuid: 'pod', path: path.join(work, 'pod') }
    await assert.rejects(makeTpm(pod, USER, programs, opened), {
      code: 'POD_TPM_FAILED',
      message: /certificate|swtpm_localca/i,
    })
    assert.deepEqual(fs.readdirSync(pod.path), [])
  })
  const programFalse = (): number => {
    const fd = fs.openSync('/bin/false', 'r')
    opened.push(fd)
    return fd
  }

  const attacks: [string, (pod: string, other: string) => void][] = [
    [
      'its directory swapped for that of another pod',
      (pod, other) => {
        fs.renameSync(path.join(pod, 'tpm'), path.join(pod, 'before'))
        fs.renameSync(path.join(other, 'tpm'), path.join(pod, 'tpm'))
      },
    ],
    [
      'its directory swapped for a link to itself',
      (pod) => {
        fs.renameSync(path.join(pod, 'tpm'), path.join(pod, 'before'))
        fs.symlinkSync('before', path.join(pod, 'tpm'))
      },
    ],
    ['its directory gone', (pod) => fs.rmSync(path.join(pod, 'tpm'), { recursive: true })],
    [
      'the state of another pod in its directory',
      (pod, other) => fs.copyFileSync(path.join(other, 'tpm/tpm2-00.permall'), path.join(pod, 'tpm/tpm2-00.permall')),
    ],
    [
      'a byte of its state changed',
      (pod) => {
        const file = path.join(pod, 'tpm/tpm2-00.permall')
        const bytes = fs.readFileSync(file)
        bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
        fs.writeFileSync(file, bytes)
      },
    ],
    ['another file beside it', (pod) => fs.writeFileSync(path.join(pod, 'tpm/tpm2-00.volatilestate'), 'x')],
    [
      'a link in place of it',
      (pod) => {
        fs.renameSync(path.join(pod, 'tpm/tpm2-00.permall'), path.join(pod, 'state'))
        fs.symlinkSync('../state', path.join(pod, 'tpm/tpm2-00.permall'))
      },
    ],
  ]
  it('is refused where it is not what was measured', async () => {
    for (const [i, [what, attack]] of attacks.entries()) {
      const [own, other] = [await make(`own-${i}`), await make(`other-${i}`)]
      attack(own.pod, other.pod)
      assert.throws(() => own.check(own.pod), { code: 'LAUNCH_CHANGED' }, what)
    }
  })
})

describe('the CA of a node for its pods', () => {
  let work: string
  beforeEach(() => {
    work = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-pod-ca-'))
  })
  afterEach(() => fs.rmSync(work, { recursive: true, force: true }))

  it('is made once, for one user alone, and signs itself', () => {
    const made = podAuthority(work, new Date())
    const again = podAuthority(work, new Date())
    assert.deepEqual(again.certificate.bytes, made.certificate.bytes)
    assert.deepEqual(decodeCertificate(made.certificate.bytes).issuer.key, made.certificate.subject.key)
    assert.deepEqual(fs.readdirSync(path.dirname(made.file)), ['authority.pem'])
    assert.equal(fs.statSync(made.file).mode & 0o7777, 0o600)
    assert.equal(fs.statSync(path.dirname(made.file)).mode & 0o7777, 0o700)
  })

  it('is the one of who came first, and what a crash left beside it is in nobody’s way', () => {
    fs.mkdirSync(path.join(work, 'pod-ca'), { mode: 0o700 })
    fs.writeFileSync(path.join(work, 'pod-ca', `authority.pem.${randomBytes(8).toString('hex')}`), '-----BEGIN')
    const made = podAuthority(work, new Date())
    assert.deepEqual(podAuthority(work, new Date()).certificate.bytes, made.certificate.bytes)
  })

  for (const [what, spoil] of [
    ['others may read', (file: string) => fs.chmodSync(file, 0o640)],
    ['was cut short', (file: string) => fs.truncateSync(file, 100)],
    ['holds the key of another', (file: string) => swapKey(file)],
  ] as const) {
    it(`is not one whose file ${what}`, () => {
      const { file } = podAuthority(work, new Date())
      spoil(file)
      assert.throws(() => podAuthority(work, new Date()), /POD_DIRECTORY_FAILED|CA_|is not root's alone|CA /)
    })
  }
  const swapKey = (file: string): void => {
    const other = fs.readFileSync(podAuthority(path.join(work, 'other'), new Date()).file, 'utf8')
    const [, certificate = ''] = fs.readFileSync(file, 'utf8').split('-----END PRIVATE KEY-----\n')
    const [key = ''] = other.split('-----END PRIVATE KEY-----\n')
    fs.writeFileSync(file, `${key}-----END PRIVATE KEY-----\n${certificate}`)
  }
})

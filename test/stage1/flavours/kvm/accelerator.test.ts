import assert from 'node:assert/strict'
import {
  chooseAccelerator,
  type ProbeResult,
  type VirtualizationFacts,
  whyNoKvm,
} from '../../../../stage1/flavours/kvm/accelerator.ts'

const GOOD: VirtualizationFacts = { modules: ['kvm_intel'], processorFlags: ['fpu', 'vmx'] }
const WORKS = async (): Promise<ProbeResult> => ({ works: true })
const HANGS = async (): Promise<ProbeResult> => ({ works: false, why: 'the guest did not power off' })
const NEVER = async (): Promise<ProbeResult> => assert.fail('there was nothing to try')

const unusable: readonly { name: string; facts: VirtualizationFacts; why: RegExp }[] = [
  { name: 'a device that cannot be opened', facts: { ...GOOD, deviceError: 'EACCES' }, why: /EACCES/ },
  { name: 'no device', facts: { ...GOOD, deviceError: 'ENOENT' }, why: /ENOENT/ },
  { name: 'no module of the processor', facts: { ...GOOD, modules: [] }, why: /kvm_intel nor kvm_amd/ },
  { name: 'the module of PVM', facts: { ...GOOD, modules: ['kvm_pvm'] }, why: /PVM/ },
  {
    name: 'a processor without virtualisation',
    facts: { ...GOOD, processorFlags: ['fpu', 'svme'] },
    why: /vmx nor svm/,
  },
]

describe('the accelerator', () => {
  it('is kvm where everything speaks for it and a guest has shown it', async () => {
    for (const facts of [GOOD, { modules: ['kvm_amd'], processorFlags: ['svm'] }]) {
      assert.equal(whyNoKvm(facts), undefined)
      for (const choice of ['auto', 'kvm'] as const) {
        assert.equal((await chooseAccelerator(choice, () => facts, WORKS)).kind, 'kvm')
      }
    }
  })

  for (const { name, facts, why } of unusable) {
    it(`is tcg with ${name}, and no guest is tried`, async () => {
      const chosen = await chooseAccelerator('auto', () => facts, NEVER)
      assert.equal(chosen.kind, 'tcg')
      assert.match(chosen.reason, why)
    })

    it(`is refused with ${name} where kvm is demanded`, async () => {
      await assert.rejects(
        chooseAccelerator('kvm', () => facts, NEVER),
        (err: Error) => {
          assert.match(err.message, why)
          assert.equal('code' in err && err.code, 'POD_ACCEL_MISSING')
          return true
        },
      )
    })
  }

  it('is tcg, or refused, where the guest did not come up: its reason is told', async () => {
    assert.deepEqual(await chooseAccelerator('auto', () => GOOD, HANGS), {
      kind: 'tcg',
      reason: 'the guest did not power off',
    })
    await assert.rejects(
      chooseAccelerator('kvm', () => GOOD, HANGS),
      { code: 'POD_ACCEL_MISSING', message: /did not power off/ },
    )
  })

  it('is tcg where that was asked for, and nobody looks at the machine', async () => {
    assert.equal((await chooseAccelerator('tcg', () => assert.fail('looked'), NEVER)).kind, 'tcg')
  })
})

import assert from 'node:assert/strict'
import { utf8 } from '../../../attestation/base/index.ts'
import { Guests, guestsImpossible } from '../../support/guest.ts'
import { FRAME } from '../../support/guest-frames.ts'
import { podManifest, shellApp } from '../../support/stage1-pods.ts'

describe('the TPM of a guest', () => {
  let guests: Guests

  before(function () {
    const why = guestsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    guests = new Guests()
  })
  after(async () => {
    await guests?.stop()
  })

  for (const [what, digest, message] of [
    ['the host gives none', 'ab'.repeat(32), /the host gives no TPM/],
    ['what it is to be told is too short', 'ab'.repeat(31), /pod-archive: \w+ is no digest/],
    ['what it is to be told is no digest', 'AB'.repeat(32), /pod-archive: \w+ is no digest/],
  ] as const) {
    it(`keeps the pod from starting where ${what}`, async () => {
      const guest = await guests.run(podManifest([shellApp('app', 'echo started')]), {
        change: (plan) => {
          plan.set('tpm', utf8('own\0'))
          plan.set('pod-archive', utf8(`${digest}\0`))
        },
      })
      const failure = guest.control.frames.find(({ kind }) => kind === FRAME.FAILURE)?.payload.toString()
      assert.match(failure ?? '', message, guest.console)
      assert.equal(guest.result, undefined)
    })
  }
})

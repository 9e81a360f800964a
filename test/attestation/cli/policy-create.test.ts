import { strict as assert } from 'node:assert'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { utf8 } from '../../../attestation/base/index.ts'
import { command } from '../../../attestation/cli/policy.ts'
import { encodeEvidenceFile } from '../../../attestation/evidence-file/index.ts'
import { runCommand, type Said } from '../../support/command.ts'
import { madeEvidence } from '../../support/evidence.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { ukiBoot, ukiImage } from '../../support/uki.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

const policy = (...args: readonly string[]): Promise<Said> => runCommand(command(), args)
const DIGEST = 'ab'.repeat(32)
const PARTS = { cmdline: 'root=/dev/vda2 quiet' }

describe('holdfast policy create, of what is to be rolled out', () => {
  const dir = tempDir()
  const at = (name: string): string => join(dir.path, name)
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(at(name), content)
    return at(name)
  }
  const keylime = (over: object = {}): string =>
    file('runtime.json', JSON.stringify({ digests: { '/usr/bin/a': [DIGEST] }, excludes: ['/tmp/.*'], ...over }))
  after(() => dir.remove())

  it('gives a policy for a kernel before a machine runs it, which the first machine that does satisfies', async () => {
    const image = file('new.efi', ukiImage(PARTS))
    const { out, err } = await policy('create', '--from-image', image, '--mode', 'enforce', '--out', at('kernel.yaml'))
    assert.equal(String(out), `${at('kernel.yaml')}\n`)
    assert.match(err, /what these files say, and nobody vouches for them; review it/)
    assert.match(readFileSync(at('kernel.yaml'), 'utf8'), /^name: from-reference-values$/m)
    assert.match(String((await policy('check', at('kernel.yaml'))).out), /enforce +unified-kernel +events/)
    const tried = async (parts: typeof PARTS) => {
      const { file: evidence } = madeEvidence({ boot: ukiBoot(parts) })
      const path = file('booted.evidence', encodeEvidenceFile(evidence))
      return String(
        (await policy('test', at('kernel.yaml'), '--against', path, '--config', at('none'), '--format=json')).out,
      )
    }
    const broken = (json: string): string[] =>
      JSON.parse(json).rows[0].changes.flatMap((c: { rule: string; after: string }) =>
        c.rule.startsWith('policy.') && c.after === 'contraindicated' ? [c.rule] : [],
      )
    assert.deepEqual(broken(await tried(PARTS)), [])
    assert.ok(broken(await tried({ cmdline: 'quiet' })).includes('policy.command-line'))
  })

  it('takes Keylime’s files over, says what it cannot, and writes what it needs beside', async () => {
    const path = keylime({
      digests: { '/usr/bin/a': [DIGEST, 'cd'.repeat(20)], relative: [DIGEST] },
      excludes: ['(a|b)'],
    })
    const { err } = await policy('create', '--from-keylime', path, '--out', at('files.yaml'), '--mode', 'enforce')
    assert.match(err, /runtime\.json: 1 digests are left out/)
    assert.match(err, /1 names that are no absolute path/)
    assert.match(err, /"\(a\|b\)" cannot be said as a pattern/)
    assert.equal(readFileSync(at('files.digests'), 'utf8'), `${DIGEST}  /usr/bin/a\n`)
    assert.match(String((await policy('check', at('files.yaml'))).out), /files +ima/)
    const printed = String((await policy('create', '--from-keylime', keylime())).out)
    assert.match(printed, /Lists of files are left out: .*--out/)
    await policy('check', file('printed.yaml', printed))
  })

  it('combines reference values with machines and with one another', async () => {
    const evidence = file('good.evidence', encodeEvidenceFile(madeEvidence({ boot: ukiBoot(PARTS) }).file))
    const image = file('next.efi', ukiImage({ cmdline: 'root=/dev/vda2 new' }))
    const from = ['--from-evidence', evidence, '--from-image', image, '--from-keylime', keylime()]
    const text = String((await policy('create', ...from)).out)
    assert.match(
      text,
      /^# Made from evidence: good\.evidence$[\s\S]*^# Made from reference values: next\.efi, runtime\.json$/m,
    )
    assert.match(text, /# .* of good\.evidence\n[\s\S]*# next\.efi\n/)
    assert.match(text, /mustContain:\n +- "root=\/dev\/vda2"\n/)
    await policy('check', file('all.yaml', text))
  })

  it('of a CoRIM says who vouches for it: nobody', async function () {
    const set = externalVectors('corim')
    if (set === undefined) return skipWithoutVectors(this, 'corim')
    const corim = file('maker.cbor', set.read('corim-parsec-tpm-valid.cbor'))
    const { out, err } = await policy('create', '--from-corim', corim)
    assert.match(err, /maker\.cbor: it is not signed: anybody could have written it/)
    assert.match(String(out), /reference-registers:[\s\S]*sha256:\n +\d+:\n +- "[0-9a-f]{64}" # maker\.cbor, /)
    await policy('check', file('corim.yaml', String(out)))
    const none = file('none.cbor', set.read('corim-enacttrust-valid.cbor'))
    await assert.rejects(
      policy('create', '--from-corim', none),
      /no value of a PCR is in it.*reference values of no PCR/,
    )
  })

  const refused: readonly [why: string, args: () => string[], what: RegExp | { code: string }][] = [
    ['of nothing', () => [], /name what to make it of/],
    ['of a file that is no image', () => ['--from-image', file('x', '#!/bin/sh\n')], { code: 'PE_NOT_AN_IMAGE' }],
    ['of a file that is no CoRIM', () => ['--from-corim', file('x', utf8('{}'))], { code: 'CORIM_NOT_CBOR' }],
    ['of a file that is not there', () => ['--from-image', at('nowhere')], /nowhere: .*no such file/i],
    [
      'of a list without a file',
      () => ['--from-keylime', keylime({ digests: {}, excludes: [] })],
      /nothing in it can be taken over/,
    ],
    ['of a list that is no text', () => ['--from-keylime', file('x', Uint8Array.of(0xff))], /not text in UTF-8/],
    [
      'under a name that no policy can have',
      () => ['--from-keylime', keylime(), '--name', 'A b'],
      /is no name of a policy/,
    ],
  ]
  for (const [why, args, what] of refused) {
    it(`makes none ${why}`, () => assert.rejects(policy('create', ...args()), what))
  }
})

import { strict as assert } from 'node:assert'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAppraisalPolicy, policyJsonSchema } from '../../../attestation/appraisal-policy/index.ts'
import { codeOf, toHex } from '../../../attestation/base/index.ts'
import { command } from '../../../attestation/cli/policy.ts'
import { type EvidenceItem, openStore } from '../../../attestation/store/index.ts'
import { nodeIdOf } from '../../../attestation/tpm2/index.ts'
import { runCommand } from '../../support/command.ts'
import { type VmSet, vmEvidenceFile, vmStoredEvidence } from '../../support/policy-facts.ts'
import { SoftTpm } from '../../support/soft-tpm.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

const KERNEL = '5f21ff2c0d5d899842b28a8b19901ba72cf7a7ab93c02a77fadc6ff72be85b31'
const POLICY = (rules: string, name = 'p'): string => `version: 1\nname: ${name}\nowner: me\nrules:\n${rules}`
const SYSTEM = new URL('../../../config/appraisal/', import.meta.url)

/** `holdfast policy ARGS` in this process. */
async function policy(...args: readonly string[]): Promise<{ out: string; err: string; status: number }> {
  const { out, err, status } = await runCommand(command(), args)
  return { out: out.toString(), err, status }
}

describe('holdfast policy', () => {
  const dir = tempDir()
  const at = (name: string): string => join(dir.path, name)
  const tpm = new SoftTpm()
  const evidence = (set: VmSet, ima?: Uint8Array): string => {
    writeFileSync(at(`${set}.evidence`), vmEvidenceFile(set, tpm, ima))
    return at(`${set}.evidence`)
  }
  const file = (name: string, text: string): string => {
    writeFileSync(at(name), text)
    return at(name)
  }
  after(() => dir.remove())

  it('checks the policies that are shipped', async () => {
    const { out } = await policy('check', new URL('.', SYSTEM).pathname)
    assert.match(out, /default\.yaml: default, for all nodes that no other policy is for; other rules observe/)
    assert.match(out, /strict\.yaml: strict, for nodes by label, priority 10/)
    assert.match(out, /MODE +RULE +KIND +OWNER +EXPIRES +EXCEPTIONS/)
    assert.match(out, /warn +kernel +kernel +kernel team +2027-03-31 +1/)
    const [first] = JSON.parse((await policy('check', new URL('strict.yaml', SYSTEM).pathname, '--format=json')).out)
    assert.deepEqual([first.name, first.priority, first.nodes], ['strict', 10, { all: { role: 'worker' } }])
    assert.equal(first.rules.find((r: { name: string }) => r.name === 'kernel').expires, '2027-04-01T00:00:00.000Z')
  })

  it('says where mistakes are', async () => {
    const bad = file('bad.yaml', POLICY('  r: {mode: enforced, require: [boot.log]}\n'))
    await assert.rejects(policy('check', bad), {
      code: 'APPRAISAL_POLICY_INVALID',
      message: /bad\.yaml:5:7: .*wants one of observe/,
    })
    await assert.rejects(policy('check', at('nowhere')), { code: 'LAUNCH_POLICY_UNREADABLE' })
  })

  it('prints the schema that lies beside the policies', async () => {
    const { out } = await policy('schema', 'appraisal')
    assert.equal(out, policyJsonSchema())
    // holdfast policy schema appraisal > config/appraisal/schema.json; the formatter may fold its lines
    assert.deepEqual(JSON.parse(readFileSync(new URL('schema.json', SYSTEM), 'utf8')), JSON.parse(out))
    assert.match((await policy('schema')).out, /entity Node/)
  })

  it('makes a policy of machines as they are, which they then satisfy', async () => {
    const { out, err } = await policy(
      'create',
      '--from-evidence',
      evidence('ovmf-sdboot'),
      '--name',
      'workers',
      '--mode',
      'enforce',
    )
    assert.match(err, /review it/)
    assert.match(out, new RegExp(`- "${KERNEL}" # .*vmlinuz, event 24 of ovmf-sdboot\\.evidence`))
    assert.match(out, /mustContain:\n +- "initrd=\\\\\\\\initrd\.img"/)
    assert.match(out, /oddities:[\s\S]*- boot\.secure-boot # warning on ovmf-sdboot\.evidence: /)
    const made = file('made.yaml', out)
    const same = await policy('test', made, '--against', at('ovmf-sdboot.evidence'), '--config', at('none'))
    assert.match(same.out, /ovmf-sdboot\.evidence +affirming +affirming +-/)
    assert.equal(same.status, 0)
    const other = await policy('test', made, '--against', evidence('ovmf-sb-direct-kernel'), '--config', at('none'))
    assert.match(other.out, /affirming +contraindicated +worse +.*policy\.kernel/)
    assert.match(other.out, /policy\.kernel +- -> contraindicated +not as it should be: no kernel is measured/)
    assert.equal(other.status, 1)
  })

  it('merges machines: what one of them has is good for all', async () => {
    const [a, b] = [evidence('ovmf-sdboot'), evidence('ovmf-direct-kernel')]
    const made = file('merged.yaml', (await policy('create', '--from-evidence', a, b, '--mode', 'enforce')).out)
    const { out, status } = await policy('test', made, '--against', a, b, '--config', at('none'))
    assert.equal(status, 0, out)
    assert.match(out, /0 of 2 would be worse/)
  })

  it('writes the files that IMA measured beside the policy', async function () {
    const vectors = externalVectors('vm/ovmf-sdboot')
    if (vectors === undefined) return skipWithoutVectors(this, 'vm/ovmf-sdboot')
    const measured = evidence('ovmf-sdboot', vectors.read('ima_binary_later'))
    const out = at('files.yaml')
    await policy('create', '--from-evidence', measured, '--mode', 'enforce', '--out', out)
    const list = readFileSync(at('files.digests'), 'utf8')
    assert.equal(
      list
        .trimEnd()
        .split('\n')
        .every((line) => /^[0-9a-f]{64} {2}\//.test(line)),
      true,
    )
    const { ima } = parseAppraisalPolicy(
      readFileSync(out, 'utf8'),
      out,
      () => new Uint8Array(readFileSync(at('files.digests'))),
    )
    assert.ok((ima?.policy.files.size ?? 0) > 10)
    assert.equal((await policy('test', out, '--against', measured, '--config', at('none'))).status, 0)
    writeFileSync(at('files.digests'), list.slice(66))
    await assert.rejects(policy('check', out), { message: /files\.digests is not what the policy means/ })
  })

  it('compares two policies by what they mean', async () => {
    const old = file('old.yaml', POLICY('  r: {mode: enforce, require: [boot.log, boot.replay]}\n'))
    const now = file(
      'new.yaml',
      POLICY('  r: {mode: warn, require: [boot.log, boot.replay]}\n  k: {mode: observe, clock: {safe: required}}\n'),
    )
    const { out, status } = await policy('diff', old, now)
    assert.match(out, /looser +r +changed +mode from enforce to warn/)
    assert.match(out, /other +k +added +clock, mode observe/)
    assert.equal(status, 0)
    assert.equal((await policy('diff', old, now, '--refuse-looser')).status, 1)
    assert.equal((await policy('diff', now, old, '--refuse-looser')).status, 0)
  })

  it('tries a policy against another one', async () => {
    const strict = file('strict.yaml', POLICY('  r: {mode: enforce, require: [boot.boot-application]}\n'))
    const lax = file(
      'lax.yaml',
      `${POLICY('  r: {mode: warn, require: [boot.boot-application]}\n')}unlisted: observe\n`,
    )
    const bad = evidence('ovmf-sb-direct-kernel')
    const { out, status } = await policy('test', lax, '--against', bad, '--before', strict, '--format=json')
    const { rows, untried } = JSON.parse(out)
    assert.deepEqual([rows.length, untried.length, status], [1, 0, 0])
    assert.deepEqual([rows[0].before, rows[0].after, rows[0].worse], ['contraindicated', 'warning', false])
    assert.deepEqual(
      rows[0].changes.find((c: { rule: string }) => c.rule === 'policy.r'),
      {
        rule: 'policy.r',
        before: 'contraindicated',
        after: 'warning',
        message: rows[0].changes.find((c: { rule: string }) => c.rule === 'policy.r').message,
      },
    )
  })

  it('refuses evidence that proves nothing', async () => {
    const good = readFileSync(evidence('ovmf-sdboot'))
    writeFileSync(at('cut.evidence'), good.subarray(0, 1000))
    writeFileSync(
      at('other-key.evidence'),
      vmEvidenceFile(
        'ovmf-sdboot',
        Object.assign(new SoftTpm(), { ekPublic: tpm.ekPublic, quote: tpm.quote.bind(tpm) }),
      ),
    )
    const made = file('any.yaml', POLICY('  {}\n'))
    await assert.rejects(policy('test', made, '--against', at('cut.evidence')), { code: 'EVIDENCE_FILE_INVALID' })
    await assert.rejects(policy('test', made, '--against', at('other-key.evidence')), (err) =>
      /^QUOTE_|^ATTEST_/.test(codeOf(err) ?? ''),
    )
  })

  it('tries a policy on what the store has of nodes', async () => {
    mkdirSync(at('data'))
    mkdirSync(at('policies'))
    mkdirSync(at('appraisal'))
    file('appraisal/all.yaml', POLICY('  r: {mode: enforce, require: [boot.replay]}\n', 'all'))
    const settings = `dataDirectory: ${at('data')}\npolicies: ${at('policies')}\nappraisalPolicies: ${at('appraisal')}\n`
    const config = file('verifier.yaml', settings)
    const nodeId = nodeIdOf(tpm.ekPublic)
    const store = await openStore(join(at('data'), 'store.sqlite'), { exclusive: true, create: true })
    await store.enrol({
      nodeId,
      ekPublic: tpm.ekPublic,
      ak: { public: tpm.ak.public, name: toHex(tpm.ak.name), certificate: Uint8Array.of(3) },
      attributes: { hostname: 'web-7' },
      admission: { kind: 'listed' },
    })
    let revision = 0
    const save = async (evidence: EvidenceItem): Promise<void> => {
      const change = { tier: 'affirming', findings: '[]' }
      const node = { nodeId, generation: 1, revision: revision++ }
      await store.saveResult({ node, state: '{}', change, evidence })
    }
    await save(vmStoredEvidence('ovmf-sdboot', tpm, true))
    await save(vmStoredEvidence('ovmf-sdboot', tpm, false))
    tpm.reset()
    await save(vmStoredEvidence('ovmf-direct-kernel', tpm, false))
    await save(vmStoredEvidence('ovmf-sb-direct-kernel', tpm, true))
    const foreign = new SoftTpm()
    await save(vmStoredEvidence('ovmf-sdboot', foreign, true))
    await store.close()

    const next = file('next.yaml', POLICY(`  k: {mode: enforce, kernel: {digests: ["${KERNEL}"]}}\n`))
    for (const against of ['store', 'web-7', nodeId.slice(0, 12)]) {
      const { out, status } = await policy('test', next, '--against', against, '--config', config, '--format=json')
      const { rows, untried } = JSON.parse(out)
      assert.deepEqual(
        rows.map((r: { before: string; after: string }) => [r.before, r.after]),
        [
          ['warning', 'warning'],
          ['warning', 'warning'],
          ['contraindicated', 'contraindicated'],
        ],
      )
      assert.deepEqual(
        untried.map((u: { why: string }) => u.why.slice(0, 18)),
        ['qualifiedSigner is', 'its logs came earl'],
      )
      assert.equal(status, 0)
    }
    const tighter = file('tighter.yaml', POLICY('  b: {mode: enforce, require: [boot.secure-boot]}\n'))
    const { out, err, status } = await policy('test', tighter, '--against', 'store', '--config', config)
    assert.match(out, /warning +contraindicated +worse +.*policy\.b/)
    assert.match(err, /note: not tried: /)
    assert.equal(status, 1)
    await assert.rejects(policy('test', next, '--against', 'nobody', '--config', config), {
      code: 'STORE_NODE_UNKNOWN',
    })
  })
})

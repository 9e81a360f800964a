import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { openStore } from '../../../attestation/store/index.ts'
import { VerifierMetrics } from '../../../attestation/verifier/metrics.ts'
import { PROJECT_ROOT } from '../../support/holdfast.ts'
import { tempDir } from '../../support/temp-dir.ts'

const PROMTOOL = '/usr/bin/promtool'
const FILE = join(PROJECT_ROOT, 'config/prometheus/alerts.yaml')

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[]
}

/** Series that make an alert fire, and for how many minutes they have to. */
const FIRING: Readonly<
  Record<string, { readonly minutes: number; readonly series: Readonly<Record<string, string>> }>
> = {
  HoldfastNodeFailed: {
    minutes: 0,
    series: {
      'holdfast_nodes{standing="failed",instance="a"}': '1x20',
      'holdfast_nodes{standing="failed",instance="b"}': '1x20',
    },
  },
  HoldfastNodesStale: { minutes: 6, series: { 'holdfast_nodes{standing="stale",instance="a"}': '3x20' } },
  HoldfastStoreDown: { minutes: 2, series: { 'holdfast_store_up{instance="a"}': '0x20' } },
  HoldfastRoundsSlow: {
    minutes: 18,
    series: {
      'holdfast_round_seconds_bucket{instance="a",le="1"}': '0x20',
      'holdfast_round_seconds_bucket{instance="a",le="5"}': '0+60x20',
      'holdfast_round_seconds_bucket{instance="a",le="+Inf"}': '0+60x20',
    },
  },
  HoldfastQuotesRefused: {
    minutes: 12,
    series: { 'holdfast_round_seconds_count{instance="a",result="refused",purpose="session"}': '0+120x20' },
  },
  HoldfastPoliciesDiffer: {
    minutes: 12,
    series: {
      'holdfast_policy_info{instance="a",revision="1"}': '1x20',
      'holdfast_policy_info{instance="b",revision="2"}': '1x20',
    },
  },
}

describe('the alerts of config/prometheus', () => {
  const dir = tempDir()
  const rules = (parse(readFileSync(FILE, 'utf8')) as Rules).groups.flatMap((group) => group.rules) // its tests are below
  after(() => dir.remove())

  it('ask for nothing but what verifiers count', async () => {
    const store = await openStore(join(dir.path, 'store.sqlite'), { exclusive: true, create: true })
    try {
      const service = { store, healthy: () => true, connections: () => 0, policyRevision: () => 'r' }
      const { text } = await new VerifierMetrics(service).text()
      const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)]
      const names = new Set(
        types.flatMap(([, name = '', type]) =>
          type === 'histogram' ? ['_bucket', '_count', '_sum'].map((end) => name + end) : [name],
        ),
      )
      for (const { alert, expr } of rules) {
        const asked = expr.match(/\bholdfast_\w+/g) ?? []
        assert.ok(asked.length > 0, alert)
        for (const name of asked) assert.ok(names.has(name), `${alert} asks for ${name}`)
      }
    } finally {
      await store.close()
    }
  })

  it('fire when they should, and not when all is well', function () {
    if (!existsSync(PROMTOOL)) {
      console.log('skipped: there is no promtool here; apt-get install prometheus')
      this.skip()
    }
    assert.deepEqual(rules.map(({ alert }) => alert).sort(), Object.keys(FIRING).sort())
    const well = {
      'holdfast_nodes{standing="failed",instance="a"}': '0x20',
      'holdfast_nodes{standing="stale",instance="a"}': '0x20',
      'holdfast_store_up{instance="a"}': '1x20',
      'holdfast_policy_info{instance="a",revision="1"}': '1x20',
      'holdfast_policy_info{instance="b",revision="1"}': '1x20',
    }
    // promtool compares whole alerts, labels and words; ALERTS tells of each whether it fires
    const test = (series: Readonly<Record<string, string>>, minutes: number, alert: string, fires: boolean) => ({
      interval: '1m',
      input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
      promql_expr_test: [
        {
          expr: `count(ALERTS{alertname="${alert}",alertstate="firing"}) > bool 0 or vector(0)`,
          eval_time: `${minutes}m`,
          exp_samples: [{ labels: '{}', value: fires ? 1 : 0 }],
        },
      ],
    })
    const tests = Object.entries(FIRING).flatMap(([alert, { minutes, series }]) => [
      test(series, minutes, alert, true),
      test(well, 20, alert, false),
    ])
    const file = join(dir.path, 'tests.yaml')
    writeFileSync(file, stringify({ rule_files: [FILE], evaluation_interval: '1m', tests }))
    const done = spawnSync(PROMTOOL, ['test', 'rules', file], { encoding: 'utf8' })
    assert.equal(done.status, 0, done.stdout + done.stderr)
  })
})

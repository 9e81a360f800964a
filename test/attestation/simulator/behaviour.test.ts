import assert from 'node:assert/strict'
import { assignBehaviours, parseShares, seededRandom } from '../../../attestation/simulator/behaviour.ts'

describe('shares of misbehaving nodes', () => {
  it('are read by kind, fractions of a percent too', () => {
    assert.deepEqual(
      [...parseShares('wrong-nonce=1%, log-fork=0.5%')],
      [
        ['wrong-nonce', 1],
        ['log-fork', 0.5],
      ],
    )
  })

  const refused = [
    { name: 'no percent sign', text: 'silent=1', message: /silent=1/ },
    { name: 'no number', text: 'silent=%', message: /KIND=PERCENT/ },
    { name: 'a negative number', text: 'silent=-1%', message: /KIND=PERCENT/ },
    { name: 'a kind that does not exist', text: 'lazy=1%', message: /'lazy'.*wrong-nonce/ },
    { name: 'a kind twice', text: 'slow=1%,slow=2%', message: /twice/ },
    { name: 'more than all nodes', text: 'slow=60%,flood=50%', message: /110 %/ },
    { name: 'nothing', text: '', message: /KIND=PERCENT/ },
  ]
  for (const { name, text, message } of refused) {
    it(`are refused with ${name}`, () => {
      assert.throws(() => parseShares(text), { code: 'SIMULATE_SHARES_INVALID', message })
    })
  }

  it('give each kind its share, one node at least, and none where the share is 0', () => {
    const shares = parseShares('silent=0.1%,slow=10%,flood=0%')
    const all = assignBehaviours(200, shares, seededRandom(7))
    const count = (behaviour: string) => all.filter((b) => b === behaviour).length
    assert.deepEqual([count('silent'), count('slow'), count('flood'), count('healthy')], [1, 20, 0, 179])
  })

  it('fall on the same nodes for the same seed, and on others for another', () => {
    const shares = parseShares('silent=50%')
    const of = (seed: number) => assignBehaviours(64, shares, seededRandom(seed)).join()
    assert.equal(of(3), of(3))
    assert.notEqual(of(3), of(4))
  })

  it('need room for every kind', () => {
    assert.throws(() => assignBehaviours(1, parseShares('silent=1%,slow=1%'), seededRandom(1)), {
      code: 'SIMULATE_SHARES_INVALID',
      message: /too few/,
    })
  })
})

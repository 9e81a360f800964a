import assert from 'node:assert/strict'
import { machineSize, type SizeLimits } from '../../../../stage1/flavours/kvm/machine-size.ts'

const MIB = 1 << 20
const cases: readonly {
  name: string
  apps: readonly SizeLimits[]
  pod?: SizeLimits
  host?: number
  size: { memoryMiB: number; processors: number }
}[] = [
  { name: 'an app without limits', apps: [{}], size: { memoryMiB: 256, processors: 1 } },
  {
    name: 'apps with limits and without',
    apps: [{ memoryBytes: 64 * MIB }, {}],
    size: { memoryMiB: 320, processors: 1 },
  },
  {
    name: 'a limit that is no whole MiB',
    apps: [{ memoryBytes: 64 * MIB + 1 }],
    size: { memoryMiB: 193, processors: 1 },
  },
  {
    name: 'limits whose parts of a MiB add up',
    apps: [{ memoryBytes: MIB / 2 }, { memoryBytes: MIB / 2 }],
    size: { memoryMiB: 129, processors: 1 },
  },
  {
    name: 'the pod’s own limit, in place of its apps’',
    apps: [{ memoryBytes: 512 * MIB, cpuMillis: 3000 }, {}],
    pod: { memoryBytes: 32 * MIB, cpuMillis: 1500 },
    size: { memoryMiB: 160, processors: 2 },
  },
  { name: 'a limit of nothing', apps: [{ memoryBytes: 0, cpuMillis: 0 }], size: { memoryMiB: 128, processors: 1 } },
  {
    name: 'parts of processors',
    apps: [{ cpuMillis: 700 }, { cpuMillis: 700 }],
    size: { memoryMiB: 384, processors: 2 },
  },
  {
    name: 'more processors than there are',
    apps: [{ cpuMillis: 64_000 }],
    host: 8,
    size: { memoryMiB: 256, processors: 8 },
  },
  {
    name: 'more than a signed 32-bit number of bytes',
    apps: [{ memoryBytes: 2 ** 36 }],
    size: { memoryMiB: 65_664, processors: 1 },
  },
]

describe('the size of a machine', () => {
  for (const { name, apps, pod, host, size } of cases) {
    it(`is made for ${name}`, () => assert.deepEqual(machineSize(apps, pod ?? {}, host ?? 4), size))
  }
})

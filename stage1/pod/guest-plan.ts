import { devicePolicyProgram, TPM_DEVICES } from '../flavours/confinement/index.ts'
import type { PodManifest } from '../manifest/index.ts'
import type { CgroupMounts } from './cgroup-layout.ts'
import { PodError } from './errors.ts'
import { tpmWanted } from './guest-tpm.ts'
import type { MachineFacts } from './machine-facts.ts'
import { type InsidePlan, planInside } from './plan-inside.ts'
import { planList } from './plan-list.ts'
import type { InsideSettings } from './plan-settings.ts'
import { privateUsersWanted } from './private-users.ts'
import { volumeRecords } from './volume-plan.ts'

/** What PID 1 of a guest mounts. Block I/O is not limited there: the guest's disks are not the host's. */
export const GUEST_CGROUPS: CgroupMounts = { v1: {}, v2: '/sys/fs/cgroup', v2Controllers: ['cpu', 'memory', 'pids'] }

/** Of the guest's kernel. */
const GUEST_FACTS: MachineFacts = {
  securityModules: () => [],
  blockDevice: () => undefined,
  noPrivateUsers: () => 'in a virtual machine they are its own anyway',
}

/** A directory of the host that a guest is given. */
export interface Share {
  /** By which the guest mounts it. */
  readonly tag: string
  readonly source: string
  readonly readOnly: boolean
}

/** The plan that a guest's init carries out, and what the guest is to be given for it. */
export interface GuestPlan extends Pick<InsidePlan, 'files' | 'hostname'> {
  readonly shares: readonly Share[]
}

/**
 * @throws PodError as planInside, and POD_UNSUPPORTED for what a pod with a kernel of its own cannot have
 */
export function planGuest(manifest: PodManifest, s: Omit<InsideSettings, 'cgroups' | 'machine'>): GuestPlan {
  if (privateUsersWanted(manifest)) {
    throw new PodError('POD_UNSUPPORTED', 'the users of a virtual machine are its own anyway', {
      hint: 'Leave --private-users out.',
    })
  }
  const { files, volumes, hostname } = planInside(manifest, { ...s, cgroups: GUEST_CGROUPS, machine: GUEST_FACTS })
  const shares: Share[] = []
  const records = volumeRecords(volumes, ({ name, source, readOnly, recursive }, position) => {
    if (recursive === false) {
      throw new PodError(
        'POD_UNSUPPORTED',
        `volume ${name}: a virtual machine is given a directory with all below it`,
        {
          hint: 'Leave recursive=false out.',
        },
      )
    }
    const tag = `v${position}`
    shares.push({ tag, source, readOnly })
    return ['tag', tag, readOnly ? 'ro' : 'rw', 'single']
  })
  return {
    files: new Map([
      ...files,
      ['network', planList(['none'])],
      ['volumes', planList(records)],
      ...(tpmWanted(manifest) ? [['device-policy', devicePolicyProgram(TPM_DEVICES)] as const] : []),
    ]),
    hostname,
    shares,
  }
}

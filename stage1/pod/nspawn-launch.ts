import { SUPERVISOR } from '../flavours/nspawn/index.ts'
import type { Flavour, FlavourInput } from './flavour.ts'
import { refuseDisk } from './guest-disk.ts'
import { refuseTpm } from './guest-tpm.ts'
import { programNamed } from './host-programs.ts'
import { readMachineFacts } from './machine-facts.ts'
import { planPod } from './plan.ts'
import { nameFilesOfPod } from './pod-network.ts'
import { privateUsersWanted } from './private-users.ts'

/** A pod in namespaces of the host's kernel, with systemd-nspawn as its supervisor. */
export function nspawnFlavour(input: FlavourInput): Flavour {
  const { options: o, stage1, podPath, network, cgroups, programs } = input
  refuseDisk(o.manifest)
  refuseTpm(o.manifest)
  const supervisor = programNamed(programs, SUPERVISOR)
  return {
    wantsUsers: privateUsersWanted(o.manifest),
    prepare: (firstUser) => ({
      plan: planPod(o.manifest, {
        uuid: o.uuid,
        podPath,
        network: network.planned,
        supervisor: supervisor.path,
        run: stage1.run,
        cgroups,
        arch: process.arch,
        seccomp: !o.relaxed.includes('seccomp'),
        streams: o.streams,
        machine: readMachineFacts(o.dir),
        ...(firstUser === undefined ? {} : { firstUser }),
      }),
      measured: {},
      programs: [],
      mode: 'launch',
      networkFiles: (up) => nameFilesOfPod(network, o.manifest, up),
      handedOver: (trees) => [supervisor.fd, ...trees],
    }),
  }
}

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { nspawnStage1Image } from '../../stage1/flavours/nspawn/index.ts'
import { type App, acIdentifier, acName, imageId, type PodApp, type PodManifest } from '../../stage1/manifest/index.ts'
import { readCgroupMounts } from '../../stage1/pod/cgroups.ts'
import { newPodUuid, type PlanFiles, type PlanSettings, planPod } from '../../stage1/pod/index.ts'
import { readMachineFacts } from '../../stage1/pod/machine-facts.ts'
import { removePodCgroups } from './cgroups.ts'
import { buildStage1Program, busyboxTree, type Ended, ended, erofsOf, STAGE1_PROGRAM } from './pods.ts'

/** What a test says of an app; the rest is that of a busybox image without settings. */
export type AppSettings = Partial<App> & Partial<Pick<PodApp, 'readOnlyRootFS' | 'mounts'>> & { readonly name: string }

/** An app that runs a shell script. */
export function shellApp(name: string, script: string, more: Partial<AppSettings> = {}): AppSettings {
  return { name, exec: ['/bin/sh', '-c', script], ...more }
}

export function podManifest(apps: readonly AppSettings[], more: Partial<PodManifest> = {}): PodManifest {
  return {
    acKind: 'PodManifest',
    acVersion: '0.8.11',
    apps: apps.map(({ name, readOnlyRootFS, mounts, ...app }) => ({
      name: acName(name),
      image: { id: imageId(`sha256-${'a'.repeat(64)}`), name: acIdentifier('test.invalid/busybox') },
      app: {
        exec: [],
        user: '0',
        group: '0',
        supplementaryGIDs: [],
        environment: [{ name: 'PATH', value: '/bin' }],
        workingDirectory: '/',
        mountPoints: [],
        isolators: [],
        ports: [],
        userAnnotations: {},
        userLabels: {},
        ...app,
      },
      readOnlyRootFS: readOnlyRootFS ?? false,
      mounts: mounts ?? [],
      annotations: [],
    })),
    volumes: [],
    isolators: [],
    annotations: [],
    userAnnotations: {},
    userLabels: {},
    ports: [],
    ...more,
  }
}

/** A pod that stage1 was given without stage0: no agent, no store, nothing measured. */
export interface StartedPod {
  readonly child: ChildProcess
  readonly uuid: string
  /** The pod directory. */
  readonly path: string
  readonly plan: PlanFiles
  readonly end: Promise<Ended>
}

/** Runs plans under the real supervisor. Everything is removed by `stop`. */
export class Stage1Pods {
  readonly work: string
  readonly #stage1: string
  readonly #tree: string
  readonly #started: StartedPod[] = []

  /** @param extra adds to the busybox tree that all apps have */
  constructor(extra?: (root: string) => void) {
    buildStage1Program()
    this.work = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-stage1-'))
    this.#tree = busyboxTree(this.work, extra)
    const stage1 = path.join(this.work, 'stage1')
    fs.mkdirSync(stage1)
    fs.writeFileSync(`${stage1}.aci`, nspawnStage1Image(new Uint8Array(fs.readFileSync(STAGE1_PROGRAM)), process.arch))
    execFileSync('tar', ['xf', `${stage1}.aci`, '-C', stage1])
    this.#stage1 = erofsOf(path.join(stage1, 'rootfs'))
  }

  /**
   * @param change edits the plan before it is carried out
   * @param prepare is given the pod directory when everything is in it
   * @param wrapper a program that is given the command line as one text, e.g. to give it a terminal
   */
  start(
    manifest: PodManifest,
    settings: Partial<PlanSettings> = {},
    change: (plan: Map<string, Uint8Array>) => void = () => {},
    prepare: (podPath: string) => void = () => {},
    wrapper: readonly string[] = [],
  ): StartedPod {
    const uuid = newPodUuid()
    const podPath = path.join(this.work, uuid)
    const plan = new Map(
      planPod(manifest, {
        uuid,
        podPath,
        network: 'none',
        supervisor: '/usr/bin/systemd-nspawn',
        run: ['/init', 'init'],
        cgroups: readCgroupMounts(),
        arch: process.arch,
        seccomp: true,
        machine: readMachineFacts(this.work),
        ...settings,
      }),
    )
    for (const name of ['resolv.conf', 'hosts']) plan.set(name, new Uint8Array(0)) // stage0 makes them
    change(plan)
    for (const name of ['plan/apps', 'stage1', 'status', 'log'])
      fs.mkdirSync(path.join(podPath, name), { recursive: true })
    for (const { name } of manifest.apps) {
      for (const sub of ['upper', 'work']) fs.mkdirSync(path.join(podPath, 'apps', name, sub), { recursive: true })
      fs.mkdirSync(path.join(podPath, 'plan/apps', name))
    }
    for (const [name, content] of plan) fs.writeFileSync(path.join(podPath, 'plan', name), content)
    prepare(podPath)
    const files = [podPath, '/usr/bin/systemd-nspawn', this.#stage1, ...manifest.apps.map(() => this.#tree)]
    const fds = files.map((file) => fs.openSync(file, 'r'))
    const command = [STAGE1_PROGRAM, 'launch', path.join(podPath, 'plan'), ...fds.map((_, i) => String(3 + i))]
    const [program = '', ...args] = wrapper.length === 0 ? command : [...wrapper, command.join(' '), '/dev/null']
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe', ...fds] })
    for (const fd of fds) fs.closeSync(fd)
    const started = { child, uuid, path: podPath, plan, end: ended(child) }
    this.#started.push(started)
    return started
  }

  run(...args: Parameters<Stage1Pods['start']>): Promise<Ended & StartedPod> {
    const started = this.start(...args)
    return started.end.then((end) => ({ ...started, ...end }))
  }

  async stop(): Promise<void> {
    for (const { child, end, uuid } of this.#started) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL') // PID 1 notices by its pipe
      await end
      await removePodCgroups(uuid)
    }
    fs.rmSync(this.work, { recursive: true, force: true })
  }
}

/** status/<name>.json of a pod, or status/_pod.json for `_pod`. */
export function statusOf(pod: StartedPod, name: string): Record<string, unknown> {
  return JSON.parse(fs.readFileSync(path.join(pod.path, 'status', `${name}.json`), 'utf8'))
}

/** Resolves when `is` holds of a file of the pod directory; rejects when the pod ends before. */
export async function whenFile(
  pod: StartedPod,
  name: string,
  is: (text: string) => boolean = () => true,
): Promise<string> {
  const file = path.join(pod.path, name)
  const watcher = fs.watch(path.dirname(file))
  try {
    for (;;) {
      const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : undefined
      if (text !== undefined && is(text)) return text
      const ended = await Promise.race([once(watcher, 'change').then(() => undefined), pod.end])
      if (ended !== undefined) throw new Error(`ended with ${ended.status} before ${name} was there: ${ended.stderr}`)
    }
  } finally {
    watcher.close()
  }
}

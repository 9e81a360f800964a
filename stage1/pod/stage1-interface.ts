import { INTERFACE_VERSION, STAGE1_ANNOTATIONS } from '../flavours/interface.ts'
import type { StoredImage } from '../image/index.ts'
import { valueNamed } from '../manifest/index.ts'
import { PodError } from './errors.ts'

/** What a stage1 image says of how it is run. */
export interface Stage1Interface {
  readonly flavour: 'nspawn' | 'kvm'
  readonly interfaceVersion: number
  /** PID 1 and its arguments. */
  readonly run: readonly string[]
  /** Names of programs of the host. */
  readonly hostPrograms: readonly string[]
}

/**
 * @throws PodError POD_STAGE1_UNSUPPORTED for an image that is no stage1, or one this stage0 cannot run
 */
export function stage1Interface(image: Pick<StoredImage, 'manifest' | 'origin'>): Stage1Interface {
  const get = (name: string): string => {
    const value = valueNamed(image.manifest.annotations, name)
    if (value === undefined) throw unsupported(image, `its manifest has no annotation ${name}`)
    return value
  }
  const flavour = get(STAGE1_ANNOTATIONS.flavour)
  const version = get(STAGE1_ANNOTATIONS.interfaceVersion)
  if (version !== String(INTERFACE_VERSION)) {
    throw unsupported(image, `its interface version is ${version}, this holdfast speaks ${INTERFACE_VERSION}`)
  }
  if (flavour !== 'nspawn' && flavour !== 'kvm')
    throw unsupported(image, `its flavour is ${flavour}, this holdfast runs nspawn and kvm`)
  const run = words(get(STAGE1_ANNOTATIONS.run))
  if (run[0]?.startsWith('/') !== true) throw unsupported(image, `${STAGE1_ANNOTATIONS.run} names no absolute path`)
  return {
    flavour,
    interfaceVersion: INTERFACE_VERSION,
    run,
    hostPrograms: words(get(STAGE1_ANNOTATIONS.hostPrograms)),
  }
}

function words(text: string): string[] {
  return text.split(' ').filter((w) => w !== '')
}

function unsupported(image: Pick<StoredImage, 'origin'>, why: string): PodError {
  return new PodError('POD_STAGE1_UNSUPPORTED', `${image.origin.name} cannot be used as stage1: ${why}`, {
    hint: 'Use the stage1 image that came with this holdfast: --stage1 nspawn.',
  })
}

import { KVM } from '../support/measured-flavours.ts'
import { describeMeasuredPaths } from '../support/measured-paths.ts'

describeMeasuredPaths(KVM)

export { type Complain, parseSettings, type SettingsRules } from './settings-file.ts'

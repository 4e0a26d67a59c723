// Package top is the live view of a node: what `edgemem top` shows, once a second, until q.
//
//	control.Status ──► Rates (pure: two statuses and the time between) ──► model (bubbletea) ──► view (lipgloss)
//
// The model holds no more than the last two statuses. It draws what fits the terminal, and says how much does not.
package top

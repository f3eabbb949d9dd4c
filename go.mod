module casemate

go 1.26

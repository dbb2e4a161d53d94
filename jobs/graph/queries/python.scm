(function_definition name: (identifier) @definition.function)
(class_definition name: (identifier) @definition.class)
(module (expression_statement (assignment left: (identifier) @definition.variable)))

(import_statement) @import
(import_from_statement) @import

(call function: (identifier) @use)
(call function: (attribute attribute: (identifier) @use.member))
(class_definition superclasses: (argument_list (identifier) @use))
(type (identifier) @use)
(decorator (identifier) @use)

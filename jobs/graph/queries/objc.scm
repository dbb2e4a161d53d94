(function_definition declarator: (function_declarator declarator: (identifier) @definition.function))
(function_definition declarator: (pointer_declarator
  declarator: (function_declarator declarator: (identifier) @definition.function)))
(declaration declarator: (function_declarator declarator: (identifier) @definition.declaration))
(declaration declarator: (pointer_declarator
  declarator: (function_declarator declarator: (identifier) @definition.declaration)))
(struct_specifier name: (type_identifier) @definition.class body: (_))
(union_specifier name: (type_identifier) @definition.class body: (_))
(enum_specifier name: (type_identifier) @definition.enum body: (_))
(type_definition declarator: (type_identifier) @definition.type)
(preproc_function_def name: (identifier) @definition.macro)

(preproc_include path: [(string_literal) (system_lib_string)] @import)

(call_expression function: (identifier) @use)
(type_identifier) @use
(class_interface . (identifier) @definition.class)
(protocol_declaration . (identifier) @definition.interface)
(class_interface superclass: (identifier) @use)
(message_expression receiver: (identifier) @use)
